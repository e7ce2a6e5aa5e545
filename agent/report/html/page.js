"use strict";
// Sorting, filtering, and reading curves. All that it shows is in the page already, as text; without it the page is whole.

function cellValue(row, column, kind) {
  const cell = row.children[column];
  const value = cell.dataset.value ?? cell.textContent.trim();
  if (kind === "text") return value.toLowerCase();
  return value === "" ? NaN : Number(value);
}

function sortTable(table, column, descending) {
  const heads = [...table.tHead.rows[0].children];
  const kind = heads[column].dataset.sort;
  const rows = [...table.tBodies[0].rows].map((row) => [cellValue(row, column, kind), row]);
  const sign = descending ? -1 : 1;
  rows.sort(([a], [b]) => {
    if (kind === "text") return sign * a.localeCompare(b);
    if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b); // what is missing stays last
    return sign * (a - b);
  });
  table.tBodies[0].append(...rows.map(([, row]) => row));
  heads.forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}

function makeSortable(table) {
  [...table.tHead.rows[0].children].forEach((head, column) => {
    if (!head.dataset.sort) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = head.dataset.sort === "number"; // numbers: the largest first
      const now = head.getAttribute("aria-sort");
      sortTable(table, column, now ? now === "ascending" : first);
    });
  });
}

function makeFilter(form, table) {
  const text = document.getElementById("filter-text");
  const state = document.getElementById("filter-state");
  const count = document.getElementById("filter-count");
  const rows = [...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]);
  const apply = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const [row, said] of rows) {
      row.hidden = (state.value && row.dataset.state !== state.value) || !words.every((word) => said.includes(word));
      shown += !row.hidden;
    }
    count.textContent = shown === rows.length ? "" : `${shown} of ${rows.length} shown`;
  };
  text.addEventListener("input", apply);
  state.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
}

function makeSortSelect(select, table) {
  [...table.tHead.rows[0].children].forEach((head, column) => {
    const option = document.createElement("option");
    option.value = column;
    option.textContent = head.textContent;
    select.append(option);
  });
  select.value = "2";
  select.addEventListener("change", () => {
    const column = Number(select.value);
    sortTable(table, column, table.tHead.rows[0].children[column].dataset.sort === "number");
  });
}

function makeCurves(data) {
  const boxes = [...document.querySelectorAll("[data-curve]")];
  const hidden = new Set();
  const apply = () => {
    hidden.clear();
    for (const box of boxes) if (!box.checked) hidden.add(box.dataset.curve);
    for (const name of Object.keys(data.pictures)) {
      for (const box of boxes) {
        const line = document.getElementById(`${name}--${box.dataset.curve}`);
        if (line) line.style.display = hidden.has(box.dataset.curve) ? "none" : "";
      }
    }
  };
  for (const box of boxes) box.addEventListener("change", apply);
  for (const button of document.querySelectorAll("[data-show]")) {
    button.addEventListener("click", () => {
      for (const box of boxes) box.checked = !button.dataset.show || box.dataset.group === button.dataset.show;
      apply();
    });
  }
  for (const figure of document.querySelectorAll("figure.curve")) makeReadout(figure, data, hidden);
  apply(); // a browser may remember what was unticked
}

function makeReadout(figure, data, hidden) {
  const curve = data.pictures[figure.dataset.picture];
  const svg = figure.querySelector("svg");
  const out = figure.querySelector("output");
  const epochs = [...new Set(Object.values(curve.points).flat().map(([epoch]) => epoch))].sort((a, b) => a - b);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "cursor");
  let at = -1;
  const show = (index) => {
    at = Math.max(0, Math.min(epochs.length - 1, index));
    const epoch = epochs[at];
    const share = curve.box[0] + ((curve.box[1] - curve.box[0]) * (epoch - curve.span[0])) / (curve.span[1] - curve.span[0]);
    const x = share * svg.viewBox.baseVal.width;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", 18], ["y2", svg.viewBox.baseVal.height - 36]]) line.setAttribute(name, value);
    svg.append(line);
    const values = [];
    for (const [run, points] of Object.entries(curve.points)) {
      const point = points.find(([when]) => when === epoch);
      if (point && !hidden.has(run)) values.push([point[1], data.runs[run]]);
    }
    values.sort(([a], [b]) => b - a);
    const lines = values.slice(0, 16).map(([value, name]) => `${value.toPrecision(4).padStart(9)}  ${name}`);
    if (values.length > 16) lines.push(`          and ${values.length - 16} more`);
    out.textContent = [`epoch ${epoch}`, ...lines].join("\n");
    out.classList.add("on");
    out.style.left = share < 0.5 ? `${share * 100 + 2}%` : "";
    out.style.right = share < 0.5 ? "" : `${(1 - share) * 100 + 2}%`;
  };
  const hide = () => {
    line.remove();
    out.classList.remove("on");
  };
  const follow = (event) => {
    const bounds = svg.getBoundingClientRect();
    const share = (event.clientX - bounds.left) / bounds.width;
    const epoch = curve.span[0] + ((share - curve.box[0]) / (curve.box[1] - curve.box[0])) * (curve.span[1] - curve.span[0]);
    let nearest = 0;
    epochs.forEach((one, index) => {
      if (Math.abs(one - epoch) < Math.abs(epochs[nearest] - epoch)) nearest = index;
    });
    show(nearest);
  };
  figure.addEventListener("pointermove", follow);
  figure.addEventListener("pointerdown", follow);
  figure.addEventListener("pointerleave", hide);
  figure.addEventListener("blur", hide);
  figure.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (event.key === "Escape") hide();
    if (step === undefined) return;
    event.preventDefault();
    show(at < 0 && step === -1 ? epochs.length - 1 : at + step);
  });
}

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
const queue = document.querySelector("table.queue");
if (queue) {
  makeFilter(document.querySelector("form.filter"), queue);
  makeSortSelect(document.getElementById("sort-by"), queue);
}
const curves = document.getElementById("curve-data");
if (curves) makeCurves(JSON.parse(curves.textContent));
for (const part of document.querySelectorAll("[data-script]")) part.hidden = false; // what is of no use without one

// On paper nothing can be opened: what an argument needs is printed open.
const opened = [];
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details[data-print]:not([open])")) {
    part.open = true;
    opened.push(part);
  }
});
addEventListener("afterprint", () => {
  for (const part of opened.splice(0)) part.open = false;
});
// A link into a closed part opens it.
const openTarget = () => {
  for (let part = document.getElementById(decodeURIComponent(location.hash.slice(1))); part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
};
addEventListener("hashchange", openTarget);
openTarget();
