// Buttons that fill in an amount.
document.addEventListener("click", (event) => {
  const amount = event.target.closest("[data-fill]")?.dataset.fill;
  if (amount) document.getElementById("f-amount").value = amount;
});
