// Which version is which: the primary, the canary, and others, each with a colour of its own.

/** A list of { name, weight, role, index } in the order in which people read them: primary first, canary next. */
export function versions(gateway) {
  const all = gateway.upstreams ?? [];
  const release = gateway.rollout;
  const largest = all.reduce((best, u) => (best && best.weight >= u.weight ? best : u), null);
  const primary = release?.primary ?? largest?.name;
  const canary = release?.canary ?? (all.length === 2 || all.filter((u) => u.weight > 0).length === 2
    ? all.find((u) => u.name !== primary && (u.weight > 0 || all.length === 2))?.name : undefined);
  const role = (name) => (name === primary ? "primary" : name === canary ? "canary" : "other");
  const order = { primary: 0, canary: 1, other: 2 };
  const sorted = all.map((u) => ({ ...u, role: role(u.name) })).sort((a, b) => order[a.role] - order[b.role]);
  let others = 1;
  return sorted.map((u) => ({ ...u, index: u.role === "primary" ? 0 : u.role === "canary" ? 1 : Math.min(++others, 5) }));
}

/** Who is at the front, and who should be. */
export function pair(gateway) {
  const all = versions(gateway);
  return { primary: all.find((u) => u.role === "primary"), canary: all.find((u) => u.role === "canary") };
}
