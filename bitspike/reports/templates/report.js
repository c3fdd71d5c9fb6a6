"use strict";
// Without this script the page is whole; with it a click on a column's head sorts the rows, another turns them round.
const key = (row, column) => {
  const cell = row.cells[column];
  return cell.dataset.value === undefined ? cell.textContent.trim() : Number(cell.dataset.value);
};
const order = (a, b) => {
  if (typeof a === "number" ? typeof b === "number" : false) return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
};
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const turned = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", turned ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows].sort((a, b) => order(key(a, column), key(b, column)));
      table.tBodies[0].append(...(turned ? rows.reverse() : rows));
    });
  });
}
