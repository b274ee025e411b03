// Before the page is painted, so that it does not blink.
{
  let chosen = null;
  try { chosen = localStorage.getItem("kinformer.theme"); } catch { /* no storage, no memory of it */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
