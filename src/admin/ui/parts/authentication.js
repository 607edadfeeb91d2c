// Who is let in: the mode, and its fields. Secrets are never here, only the names of their files.

import { h, replace } from "../lib/dom.js";
import { access } from "../lib/format.js";
import { choice, text } from "./field.js";
import { filled, words } from "./document.js";

const MODES = {
  none: { hint: "Everyone who reaches the Envoy." },
  basicAuth: {
    hint: "A name and a password.",
    fields: [
      { name: "usersFile", label: "File of users", required: true, placeholder: "secrets/fraud.htpasswd", hint: "Beside the gateway file. `serin users set FILE USER` makes it." },
      { name: "realm", label: "Realm", hint: "What browsers show when they ask." },
    ],
    read: (f) => filled({ usersFile: f.usersFile, realm: f.realm }),
  },
  accessKey: {
    hint: "A key in a header.",
    fields: [
      { name: "keysFile", label: "File of keys", required: true, placeholder: "secrets/fraud.keys", hint: "`serin keys new FILE CLIENT` makes it." },
      { name: "header", label: "Header", placeholder: "x-api-key" },
    ],
    read: (f) => filled({ keysFile: f.keysFile, header: f.header }),
  },
  jwt: {
    hint: "A signed token, for programs.",
    fields: [
      { name: "issuer", label: "Issuer", required: true, placeholder: "https://login.example.com" },
      { name: "jwksUri", label: "Where its keys are", required: true, placeholder: "https://login.example.com/keys" },
      { name: "audiences", label: "Audiences", hint: "Several with commas between." },
    ],
    read: (f) => filled({ issuer: f.issuer, jwksUri: f.jwksUri, audiences: words(f.audiences) }),
  },
  oauth2: {
    hint: "A login by browser, at a provider.",
    fields: [
      { name: "issuer", label: "Issuer", required: true, placeholder: "https://login.example.com" },
      { name: "clientId", label: "Client id", required: true },
      { name: "clientSecretFile", label: "File with the client secret", required: true, placeholder: "secrets/fraud.secret" },
      { name: "scopes", label: "Scopes", placeholder: "openid, email", hint: "Several with commas between." },
    ],
    read: (f) => filled({ issuer: f.issuer, clientId: f.clientId, clientSecretFile: f.clientSecretFile, scopes: words(f.scopes) }),
  },
};

/** `keep`: the mode that a gateway has now, which stays as it is unless another is chosen. */
export function authentication(keep, changed) {
  let mode = keep ? "keep" : "none";
  let fields = [];
  const room = h("div", { class: "fields" });
  const show = () => {
    fields = (MODES[mode]?.fields ?? []).map(text);
    replace(room, fields.map((field) => field.element));
  };
  const options = Object.entries(MODES).map(([key, { hint }]) => [key, access(key), hint]);
  if (keep) options.unshift(["keep", `As it is: ${access(keep)}`]);
  const choose = (key) => {
    mode = key;
    show();
    changed();
  };
  return {
    element: h("div", {}, choice({ legend: "Who is let in", name: "mode", value: mode, options, changed: choose }), room),
    judge: () => fields.map((field) => field.judge()).find(Boolean) ?? null,
    /** As in the file; undefined: as it was. */
    value: () => {
      if (mode === "keep") return undefined;
      const said = Object.fromEntries(fields.map((field) => [field.input.name, field.value()]));
      return mode === "none" ? { none: {} } : { [mode]: MODES[mode].read(said) };
    },
  };
}
