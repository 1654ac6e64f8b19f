// Before anything is drawn, so that no page flashes in the other theme. A file of its own: nothing inline is run here.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Without storage the system's theme is taken.
}
