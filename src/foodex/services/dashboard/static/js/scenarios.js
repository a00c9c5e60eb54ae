// Moments are typed and read in the viewer's time zone; the server is told which that is.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
for (const field of document.querySelectorAll("[data-zone]")) field.value = zone || "UTC";
for (const field of document.querySelectorAll("[data-moment]")) {
  const moment = new Date(field.dataset.moment);
  if (Number.isNaN(moment.getTime())) continue;
  const local = new Date(moment.getTime() - moment.getTimezoneOffset() * 60_000);
  field.value = local.toISOString().slice(0, 16);
}
