// The order's two points on a map, its way, and the zone in which times are typed.
import * as maplibre from "../vendor/maplibre-gl/maplibre-gl.mjs";

const form = document.getElementById("order");
const holder = document.querySelector("[data-map]");
const badge = document.querySelector("[data-distance]");
const which = document.querySelector("[data-which]");
const language = document.documentElement.lang;
const KEPT = "foodex-points";

form.elements.zone.value ||= Intl.DateTimeFormat().resolvedOptions().timeZone;

const input = (point, axis) => form.elements[`${point}_${axis}`];
const shade = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

function place(point) {
  const [lon, lat] = [input(point, "lon").value, input(point, "lat").value];
  if (lon === "" || lat === "" || !Number.isFinite(+lon) || Math.abs(+lat) > 85) return null;
  return [+lon, +lat];
}

function kilometres([lon1, lat1], [lon2, lat2]) {
  const rad = Math.PI / 180;
  const a = Math.sin((lat2 - lat1) * rad / 2) ** 2
    + Math.cos(lat1 * rad) * Math.cos(lat2 * rad) * Math.sin((lon2 - lon1) * rad / 2) ** 2;
  return 12742.0176 * Math.asin(Math.sqrt(Math.min(1, a)));
}

function tellDistance() {
  const [from, to] = [place("store"), place("customer")];
  badge.hidden = !(from && to);
  if (badge.hidden) return;
  const km = new Intl.NumberFormat(language, { maximumFractionDigits: 2 }).format(kilometres(from, to));
  badge.textContent = badge.dataset.text.replace("{km}", km);
}

// Points set here last are where the next order most likely is; kept in this browser alone.
function remember() {
  const kept = {};
  for (const point of ["store", "customer"]) kept[point] = [input(point, "lat").value, input(point, "lon").value];
  try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* Not kept, then. */ }
}

function recall() {
  if (new URLSearchParams(location.search).has("store_lat")) return;
  try {
    const kept = JSON.parse(localStorage.getItem(KEPT) ?? "{}");
    for (const [point, [lat, lon]] of Object.entries(kept)) {
      [input(point, "lat").value, input(point, "lon").value] = [lat, lon];
    }
  } catch { /* Something else lies there. */ }
}

function style() {
  return { version: 8, sources: {}, layers: [{ id: "ground", type: "background", paint: { "background-color": shade("map-ground") } }] };
}

// Streets there are of the demonstration's city alone; elsewhere they are not asked for.
async function addStreets(map) {
  const [lat, lon] = holder.dataset.near.split(",").map(Number);
  const from = place("store") ?? place("customer");
  if (!from || kilometres(from, [lon, lat]) > 40) return;
  const told = await fetch(holder.dataset.streets);
  // Signed out in another tab, one is sent to the page that asks for a name.
  if (!told.ok || told.redirected) return;
  const streets = await told.json();
  map.addSource("streets", { type: "geojson", data: streets, attribution: streets.attribution, buffer: 8, maxzoom: 15 });
  const main = ["in", ["get", "kind"], ["literal", ["main", "street"]]];
  for (const [id, filter, name, width] of [["paths", ["!", main], "path", 0.8], ["streets", main, "street", 1.8]]) {
    map.addLayer({
      id, type: "line", source: "streets", filter, layout: { "line-cap": "round", "line-join": "round" },
      paint: { "line-color": shade(`map-${name}`), "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 12, width * 0.4, 17, width * 3] },
    }, "way");
  }
}

function draw() {
  const canvas = document.createElement("canvas");
  if (!(canvas.getContext("webgl2") ?? canvas.getContext("webgl"))) {
    holder.querySelector(".predict-map-waits").textContent = holder.dataset.without;
    document.querySelector(".predict-more").open = true;
    return;
  }
  const middle = place("store") ?? place("customer") ?? [0, 20];
  const map = new maplibre.Map({ container: holder, style: style(), center: middle, zoom: 12, dragRotate: false, pitchWithRotate: false, touchPitch: false, fadeDuration: 0, maxZoom: 18, attributionControl: { compact: false }, cooperativeGestures: matchMedia("(pointer: coarse)").matches });
  map.addControl(new maplibre.NavigationControl({ showCompass: false }), "top-right");
  holder.querySelector(".predict-map-waits")?.remove();
  map.getCanvas().setAttribute("aria-label", holder.dataset.region);
  const markers = {};

  function show() {
    tellDistance();
    for (const point of ["store", "customer"]) {
      const at = place(point);
      if (!at) { markers[point]?.remove(); delete markers[point]; continue; }
      if (!markers[point]) {
        const pin = document.createElement("div");
        pin.className = `map-pin ${point}`;
        markers[point] = new maplibre.Marker({ element: pin, draggable: true }).setLngLat(at).addTo(map);
        markers[point].on("dragend", () => set(point, markers[point].getLngLat()));
        markers[point].on("drag", () => { line(point, markers[point].getLngLat().toArray()); });
      } else markers[point].setLngLat(at);
    }
    line();
  }

  function line(moved, to) {
    const ends = ["store", "customer"].map((point) => point === moved ? to : place(point));
    const drawn = ends.every(Boolean) ? ends : [];
    map.getSource("way")?.setData({ type: "Feature", properties: {}, geometry: { type: "LineString", coordinates: drawn } });
  }

  function set(point, { lng, lat }) {
    input(point, "lon").value = lng.toFixed(6);
    input(point, "lat").value = lat.toFixed(6);
    remember();
    show();
    input(point, "lat").dispatchEvent(new Event("change", { bubbles: true }));
  }

  map.on("load", () => {
    map.addSource("way", { type: "geojson", data: { type: "FeatureCollection", features: [] } });
    map.addLayer({ id: "way", type: "line", source: "way", layout: { "line-cap": "round" }, paint: { "line-color": shade("text-2"), "line-width": 2, "line-dasharray": [1.5, 1.5] } });
    addStreets(map).finally(() => map.once("idle", () => { holder.dataset.drawn = "yes"; }));
    show();
    const ends = [place("store"), place("customer")].filter(Boolean);
    if (ends.length === 2) {
      const box = new maplibre.LngLatBounds(ends[0], ends[0]).extend(ends[1]);
      map.fitBounds(box, { padding: 70, maxZoom: 15, animate: false });
    }
    holder.dataset.ready = "yes";
  });
  map.on("click", (event) => {
    const chosen = which.querySelector("input:checked");
    set(chosen.value, event.lngLat);
    if (chosen.value === "store") which.querySelector("input[value=customer]").checked = true;
  });
  form.addEventListener("input", (event) => {
    if (!/_(lat|lon)$/.test(event.target.name)) return;
    remember();
    show();
  });
  which.hidden = false;
}

// Where the answer stands below the form, whoever pressed the button is taken to it.
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.id !== "answer" || !form.querySelector(".predict-pay")) return;
  if (event.target.getBoundingClientRect().top > innerHeight - 120) event.target.scrollIntoView({ behavior: "smooth" });
});

recall();
tellDistance();
draw();
