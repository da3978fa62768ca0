// What the pages do beyond htmx: copying. Everything else works without scripts.
'use strict';

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const text = button.parentElement.querySelector('code').textContent;
  await navigator.clipboard.writeText(text);
  button.textContent = 'Copied';
});
