/* Who follows a number or a link to a cell whose code is folded finds it open. */
function openCell() {
  const cell = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  cell?.querySelectorAll(":scope > details.above-input").forEach((folded) => (folded.open = true));
}
addEventListener("hashchange", openCell);
addEventListener("DOMContentLoaded", openCell);
