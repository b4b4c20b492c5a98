// What makes pages handier, and nothing that they need: a history that can be zoomed, filters while typing, a palette, keys.

import { filter } from "./filter";
import { history } from "./history";
import { keys } from "./keys";
import { palette } from "./palette";

for (const form of document.querySelectorAll<HTMLFormElement>("form[data-filters]")) filter(form);
const chart = document.getElementById("history");
if (chart) history(chart);
const search = document.querySelector<HTMLFormElement>("form.search");
const find = search ? palette(search) : () => {};
keys(find);
