// Starts the pages: the frame around them, and which page stands for which path.

import { frame } from "./parts/frame.js";
import { route, start } from "./lib/router.js";
import { restore } from "./lib/theme.js";
import { learn } from "./lib/session.js";
import { gateways } from "./pages/gateways.js";
import { gateway } from "./pages/gateway.js";
import { create, edit } from "./pages/edit.js";
import { proxies } from "./pages/proxies.js";
import { settings } from "./pages/settings.js";
import { login } from "./pages/login.js";

restore();
document.getElementById("top").append(...frame());

route(/^\/$/, gateways);
route(/^\/gateways\/([^/]+)$/, gateway);
route(/^\/gateways\/([^/]+)\/edit$/, edit);
route(/^\/new$/, create);
route(/^\/proxies$/, proxies);
route(/^\/settings$/, settings);
route(/^\/login$/, login);

await learn();
start(document.getElementById("main"));
