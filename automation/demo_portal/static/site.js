// The cookie bar, the dialog of places, and pages that load themselves anew.

const cookies = document.querySelector("dialog.cookies");
if (cookies) {
  cookies.showModal();
  cookies.addEventListener("close", () => {
    document.cookie = "consent=necessary; path=/; max-age=31536000; samesite=lax";
  });
}

const places = document.querySelector("dialog.places");
if (places) {
  const most = Number(places.dataset.most);
  const boxes = [...places.querySelectorAll("input[type=checkbox]")];
  const told = document.querySelector("output.places");
  const tell = () => {
    const chosen = boxes.filter((box) => box.checked);
    told.value = chosen.map((box) => box.value).join(", ") || "none";
    for (const box of boxes) box.disabled = !box.checked && chosen.length >= most;
  };
  places.addEventListener("change", tell);
  document.querySelector("button.places").addEventListener("click", () => places.showModal());
  places.querySelector("button.done").addEventListener("click", () => places.close());
  tell();
}

const again = Number(document.body.dataset.refresh);
if (again) setTimeout(() => location.reload(), again * 1000);
