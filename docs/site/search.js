// The search of pagefind, whose index is made with the pages: it asks nobody else.
const box = document.getElementById("search");
new PagefindUI({ element: box, bundlePath: new URL(box.dataset.bundle, location.href).pathname, showImages: false, showSubResults: true, resetStyles: false });
