"use strict";
(() => {
  const table = document.getElementById("evaluations");
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  const rows = [...body.rows];
  const filter = document.getElementById("filter");
  const status = document.getElementById("status");
  const count = document.getElementById("count");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  /* What a cell sorts by: a number, a text, or null where nothing is known; that comes last. */
  function valueOf(row, column) {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) {
      return cell.textContent || null;
    }
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  }

  function compare(first, second) {
    return typeof first === "number" ? first - second : first.localeCompare(second);
  }

  function sortBy(column) {
    const heading = headings[column];
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const keyed = rows.map((row) => [valueOf(row, column), row]);
    const known = keyed.filter(([value]) => value !== null);
    const unknown = keyed.filter(([value]) => value === null);
    known.sort(([first], [second]) => (descending ? -1 : 1) * compare(first, second));
    body.append(...[...known, ...unknown].map(([, row]) => row));
    for (const other of headings) {
      other.setAttribute("aria-sort", "none");
    }
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  function show() {
    const wanted = filter.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = !status.value || row.dataset.status === status.value;
      row.hidden = !(fits && texts.get(row).includes(wanted));
      shown += row.hidden ? 0 : 1;
    }
    count.value = `${shown} of ${rows.length} lines`;
  }

  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => sortBy(column));
  });
  filter.addEventListener("input", show);
  status.addEventListener("change", show);
  show(); // a browser may have kept what was typed before a reload
})();
