// Light or dark: as the system has it, unless somebody chose.

const KEY = "serin-theme";
export const THEMES = ["system", "light", "dark"];

export function theme() {
  try {
    return THEMES.find((name) => name === localStorage.getItem(KEY)) ?? "system";
  } catch {
    return "system";
  }
}

export function setTheme(name) {
  try {
    localStorage.setItem(KEY, name);
  } catch {
    // Kept for this page only.
  }
  show(name);
}

export const restore = () => show(theme());

function show(name) {
  if (name === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
