// The overview's map; the table of stores beside it leads to places on it.
import { drawMap } from "./map.js";

const holder = document.querySelector("[data-map]");
const controls = document.querySelector("[data-map-controls]");
const legend = document.querySelector("[data-legend]");
const texts = JSON.parse(document.querySelector("[data-map-texts]").textContent);
const drawn = drawMap(holder, controls, legend, texts);

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-fly]");
  if (!button) return;
  const map = await drawn;
  if (!map) return;
  holder.scrollIntoView({ block: "nearest" });
  map.flyTo({ center: button.dataset.fly.split(",").map(Number), zoom: Math.max(map.getZoom(), 16) });
});
