"use strict";
(() => {
  // Theme: as the system says, light, dark.
  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  const remembered = () => { try { return localStorage.getItem("simbench-theme"); } catch { return null; } };
  const wear = (theme) => {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
    try { localStorage.setItem("simbench-theme", theme); } catch { /* a page without storage forgets */ }
  };
  let theme = themes.includes(remembered()) ? remembered() : "system";
  wear(theme);
  button.addEventListener("click", () => { theme = themes[(themes.indexOf(theme) + 1) % 3]; wear(theme); });
})();
