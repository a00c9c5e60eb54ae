// A map drawn of our own data alone: streets, zones and stores, each one source and as few layers
// as there can be, so that many thousand points move smoothly without a graphics card.
import { texts as page } from "./app.js";

const MEASURES = { orders: "orders", minutes: "median_minutes", late: "late_share" };
const POINTS_FOR_SIZES = 2000;
const number = new Intl.NumberFormat(page.language, { maximumFractionDigits: 0 });
const minute = new Intl.NumberFormat(page.language, { style: "unit", unit: "minute", maximumFractionDigits: 1 });
const share = new Intl.NumberFormat(page.language, { style: "percent", maximumFractionDigits: 0 });
const written = {
  orders: (value) => number.format(value),
  minutes: (value) => minute.format(value),
  late: (value) => share.format(value),
};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--map-${name}`).trim();
const collection = (features) => ({ type: "FeatureCollection", features });

function feature(spot, id, geometry) {
  const properties = { name: spot.name };
  for (const key of Object.values(MEASURES)) if (spot[key] !== null) properties[key] = spot[key];
  return { type: "Feature", id, properties, geometry };
}
const point = (spot, id) => feature(spot, id, { type: "Point", coordinates: [spot.lon, spot.lat] });
const hexagon = (zone, id) => feature(zone, id, { type: "Polygon", coordinates: [zone.outline] });

// The values between which colours change: the outermost twentieths share the end colours.
function ends(spots, measure) {
  const values = spots.map((spot) => spot[MEASURES[measure]]).filter((value) => value !== null).sort((a, b) => a - b);
  if (!values.length) return null;
  const at = (part) => values[Math.round(part * (values.length - 1))];
  const [low, high] = values.length < 20 ? [at(0), at(1)] : [at(0.05), at(0.95)];
  return [low, high];
}

function ramp(range, measure) {
  if (!range) return colour("street");
  const [low, high] = range;
  const value = ["get", MEASURES[measure]];
  const stops = high > low
    ? ["interpolate", ["linear"], value, low, colour("low"), (low + high) / 2, colour("middle"), high, colour("high")]
    : colour("middle");
  return ["case", ["has", MEASURES[measure]], stops, colour("street")];
}

function bounds(places) {
  const spots = places.stores.length ? [...places.stores, ...places.zones] : places.zones;
  // A few points far away would make everything else too small to see.
  const middle = (name) => {
    const values = spots.map((spot) => spot[name]).sort((a, b) => a - b);
    const left = Math.floor(values.length * 0.01);
    return [values[left], values[values.length - 1 - left]];
  };
  const [south, north] = middle("lat");
  const [west, east] = middle("lon");
  return [[west, south], [east, north]];
}

const STREETS = [
  ["paths", ["in", ["get", "kind"], ["literal", ["foot", "cycle", "steps", "service"]]], "path", 0.8],
  ["streets", ["in", ["get", "kind"], ["literal", ["main", "street"]]], "street", 1.8],
];

function layers(places, streets) {
  const many = places.stores.length > POINTS_FOR_SIZES;
  const most = Math.max(1, ...places.stores.slice(0, 1).map((store) => store.orders));
  const byOrders = (small, large) => ["interpolate", ["linear"], ["sqrt", ["get", "orders"]], 0, small, Math.sqrt(most), large];
  const radius = (grow) => many ? 2 * grow : byOrders(3 * grow, 9 * grow);
  const ways = STREETS.map(([id, filter, name, width]) => ({
    id, type: "line", source: "streets", filter,
    layout: { "line-join": "miter" },
    paint: { "line-color": colour(name), "line-width": ["interpolate", ["exponential", 1.6], ["zoom"], 12, width * 0.4, 17, width * 3] },
  }));
  return [
    { id: "ground", type: "background", paint: { "background-color": colour("ground") } },
    { id: "zones", type: "fill", source: "zones", paint: { "fill-opacity": 0.55, "fill-antialias": false } },
    ...(streets ? ways : []),
    {
      id: "stores", type: "circle", source: "stores",
      paint: {
        "circle-radius": ["interpolate", ["linear"], ["zoom"], 8, radius(0.6), 14, radius(1), 18, radius(2)],
        "circle-stroke-width": many ? 0 : 1.2,
        "circle-stroke-color": colour("edge"),
        "circle-blur": 0,
      },
    },
  ];
}

function described(spot, kind, texts) {
  const box = document.createElement("div");
  const title = document.createElement("strong");
  title.textContent = kind === "stores" ? spot.name : texts.zone;
  const facts = document.createElement("dl");
  for (const [measure, key] of Object.entries(MEASURES)) {
    if (spot[key] === undefined) continue;
    const name = document.createElement("dt");
    const value = document.createElement("dd");
    name.textContent = texts[measure];
    value.textContent = written[measure](spot[key]);
    facts.append(name, value);
  }
  box.append(title, facts);
  return box;
}

async function answer(address) {
  const told = await fetch(address, { headers: { accept: "application/json" } });
  if (!told.ok) throw new Error(`${address}: ${told.status}`);
  // Signed out in another tab, one is sent to the page that asks for a name.
  return told.status === 204 || told.redirected ? null : told.json();
}

function drawable() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

export async function drawMap(holder, controls, legend, texts) {
  const note = holder.querySelector("[data-map-note]");
  const say = (text) => {
    note.classList.remove("loading");
    note.textContent = text;
  };
  if (!drawable()) return say(texts.without);
  let library;
  let places;
  try {
    [library, places] = await Promise.all([import(texts.library), answer(holder.dataset.places)]);
  } catch (error) {
    say(texts.broken);
    throw error;
  }
  if (!places || !(places.stores.length || places.zones.length)) return say(texts.nothing);
  const streets = places.streets ? await answer(holder.dataset.streets).catch(() => null) : null;

  library.setWorkerUrl(new URL(texts.worker, location.href).href);
  const source = (data, more) => ({ type: "geojson", data, ...more });
  const map = new library.Map({
    container: holder,
    style: {
      version: 8,
      sources: {
        stores: source(collection(places.stores.map(point)), { buffer: 16, maxzoom: 14 }),
        zones: source(collection(places.zones.map(hexagon)), { buffer: 8, maxzoom: 14 }),
        ...(streets ? { streets: source(streets, { attribution: streets.attribution, buffer: 8, maxzoom: 15 }) } : {}),
      },
      layers: layers(places, streets),
    },
    bounds: bounds(places),
    fitBoundsOptions: { padding: 36, maxZoom: 16 },
    attributionControl: streets ? { compact: false } : false,
    dragRotate: false,
    pitchWithRotate: false,
    touchPitch: false,
    fadeDuration: 0,
    maxZoom: 18,
    renderWorldCopies: false,
    canvasContextAttributes: { antialias: false },
    cooperativeGestures: matchMedia("(pointer: coarse)").matches,
    locale: { "NavigationControl.ZoomIn": texts.zoom_in, "NavigationControl.ZoomOut": texts.zoom_out, "Map.Title": texts.label },
  });
  map.touchZoomRotate.disableRotation();
  map.keyboard.disableRotation();
  map.addControl(new library.NavigationControl({ showCompass: false }), "top-right");

  function paint() {
    const measure = new FormData(controls).get("measure");
    const shown = new Set(new FormData(controls).getAll("layer"));
    const kinds = ["stores", "zones"].filter((kind) => places[kind].length);
    for (const kind of kinds) map.setLayoutProperty(kind, "visibility", shown.has(kind) ? "visible" : "none");
    const ranges = Object.fromEntries(kinds.map((kind) => [kind, ends(places[kind], measure)]));
    if (ranges.stores) map.setPaintProperty("stores", "circle-color", ramp(ranges.stores, measure));
    if (ranges.zones) map.setPaintProperty("zones", "fill-color", ramp(ranges.zones, measure));
    const told = kinds.filter((kind) => shown.has(kind)).map((kind) => ranges[kind]).filter(Boolean);
    legend.hidden = !told.length;
    if (!told.length) return;
    // Minutes and shares are alike for stores and zones; orders are told of the stores.
    const [low, high] = told[0];
    legend.querySelector("[data-legend-name]").textContent = texts[measure];
    legend.querySelector("[data-low]").textContent = written[measure](low);
    legend.querySelector("[data-high]").textContent = written[measure](high);
  }

  const popup = new library.Popup({ closeButton: false, closeOnClick: false, offset: 10, maxWidth: "260px" });
  function look(event) {
    const around = [[event.point.x - 4, event.point.y - 4], [event.point.x + 4, event.point.y + 4]];
    const [found] = map.queryRenderedFeatures(around, { layers: ["stores", "zones"] });
    map.getCanvas().style.cursor = found ? "pointer" : "";
    if (!found) return popup.remove();
    const kind = found.layer.id;
    const where = kind === "stores" ? found.geometry.coordinates : event.lngLat;
    popup.setLngLat(where).setDOMContent(described(found.properties, kind, texts)).addTo(map);
  }

  await new Promise((resolve) => map.once("load", resolve));
  paint();
  note.hidden = true;
  map.on("mousemove", (event) => { if (!map.isMoving()) look(event); });
  map.on("click", look);
  map.on("mouseout", () => popup.remove());
  controls.addEventListener("change", paint);
  const recolour = () => {
    for (const layer of layers(places, streets)) {
      for (const [name, value] of Object.entries(layer.paint)) map.setPaintProperty(layer.id, name, value);
    }
    paint();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolour);
  await new Promise((resolve) => map.once("idle", resolve));
  holder.dataset.drawn = "yes";
  return map;
}
