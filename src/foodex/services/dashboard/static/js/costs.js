// What a slider means is told while it moves; the plan itself comes from the server.
const { language } = JSON.parse(document.getElementById("texts").textContent);
const format = new Intl.NumberFormat(language === "en" ? "en-US" : language, { maximumSignificantDigits: 2 });

function tell(slider) {
  const text = [format.format(10 ** Number(slider.value)), slider.dataset.unit].filter(Boolean).join(" ");
  document.querySelector(`[data-of="${slider.name}"]`).textContent = text;
  slider.setAttribute("aria-valuetext", text);
}
for (const slider of document.querySelectorAll("[data-power]")) {
  slider.addEventListener("input", () => tell(slider));
  tell(slider);
}
