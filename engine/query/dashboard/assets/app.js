// What the pages do beyond htmx: copying. Everything else works without scripts.
'use strict';

document.addEventListener('click', async (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const code = button.parentElement.querySelector('code');
  try {
    await navigator.clipboard.writeText(code.textContent);
  } catch { // which browsers have only on this machine, and with TLS
    getSelection().selectAllChildren(code);
    if (!document.execCommand('copy')) return; // it is selected, to be copied by hand
  }
  button.textContent = 'Copied';
  setTimeout(() => { button.textContent = 'Copy'; }, 2000);
});

// Time: sliding asks for the moment, a little after the hand has come to rest or as it goes
// on, and the address follows. One entry of the history stands for a whole movement.
(() => {
  const wait = 120, rest = 1500; // ms
  let timer = 0, last = 0, sliding = false, followed = null;
  const form = () => document.getElementById('time-form');
  const slider = (name) => document.querySelector(`[data-sliders] [data-for="${name}"]`);

  // follow has sliders and fields show the moment that the page shows.
  function follow() {
    const moment = document.getElementById('moment');
    const box = document.querySelector('[data-sliders]');
    if (!moment || moment === followed) return; // only a part of it came: what is being typed stays
    if (!box || !Number(moment.dataset.most) || moment.querySelector('.notice-error')) return;
    box.hidden = false;
    const f = form();
    const to = f.elements.to.value, from = f.elements.from.value;
    if (sliding && (timer || moment.dataset.to !== to || (from && moment.dataset.from !== from))) return; // the hand is ahead of the page
    sliding = false;
    followed = moment;
    for (const name of ['to', 'from']) {
      const s = slider(name);
      s.min = moment.dataset.least;
      s.max = moment.dataset.most;
      s.value = moment.dataset[name];
    }
    const asked = new URL(location.href).searchParams;
    f.elements.to.value = asked.get('to') || '';
    f.elements.from.value = asked.get('from') || '';
  }

  function slide(s) {
    const f = form();
    const other = slider(s.dataset.for === 'to' ? 'from' : 'to');
    f.elements[s.dataset.for].value = s.value;
    if (Number(slider('from').value) > Number(slider('to').value)) {
      other.value = s.value;
      if (other.dataset.for === 'to' || f.elements.from.value) f.elements[other.dataset.for].value = s.value;
    }
    if (s.dataset.for === 'to' && !f.elements.from.value) other.value = s.value - 1;
    if (s.dataset.for === 'from' && !f.elements.to.value) f.elements.to.value = slider('to').value;
    sliding = true;
    const now = Date.now();
    const fresh = now - last > rest;
    last = now;
    if (fresh) { f.setAttribute('hx-push-url', 'true'); f.removeAttribute('hx-replace-url'); }
    if (timer) return; // the next one takes the newest place
    timer = setTimeout(() => {
      timer = 0;
      window.htmx.trigger(f, 'slide');
    }, wait);
  }

  document.addEventListener('input', (event) => {
    if (event.target.matches('[data-sliders] input')) slide(event.target);
  });
  document.addEventListener('keydown', (event) => {
    const s = event.target;
    if (!s.matches('[data-sliders] input') || (event.key !== 'PageUp' && event.key !== 'PageDown')) return;
    event.preventDefault();
    const by = Math.max(1, Math.round((s.max - s.min) / 100));
    s.value = Number(s.value) + (event.key === 'PageUp' ? by : -by);
    slide(s);
  });
  document.addEventListener('htmx:pushedIntoHistory', () => {
    const f = form();
    if (!f) return;
    f.removeAttribute('hx-push-url'); // what follows of the movement takes its place
    f.setAttribute('hx-replace-url', 'true');
  });
  document.addEventListener('submit', (event) => {
    if (event.target !== form()) return;
    sliding = false;
    event.target.setAttribute('hx-push-url', 'true');
    event.target.removeAttribute('hx-replace-url');
  }, true);
  document.addEventListener('click', (event) => { if (event.target.closest('.steps a')) sliding = false; });
  document.addEventListener('htmx:historyRestore', () => { sliding = false; follow(); });
  for (const name of ['htmx:sendError', 'htmx:timeout', 'htmx:responseError']) {
    document.addEventListener(name, (event) => { // which htmx would keep to itself
      const status = event.detail.xhr && event.detail.xhr.status;
      if (status === 401) { location.reload(); return; } // to be asked for a token
      const said = document.getElementById('unanswered');
      said.textContent = status ? `The engine answered with the status ${status}: what is below is what was there before.` : 'The engine does not answer: what is below is what was there before. Try again.';
      said.hidden = false;
    });
  }
  document.addEventListener('htmx:afterSwap', () => { document.getElementById('unanswered').hidden = true; });
  for (const name of ['htmx:afterSettle', 'DOMContentLoaded']) document.addEventListener(name, follow);
})();
// Acting: the page that asks shows in a dialog. The form in it works as on that page.
document.addEventListener('click', async (event) => {
  const link = event.target.closest('a[data-ask]');
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  const page = await fetch(link.href).then((r) => r.text()).catch(() => '');
  const asked = new DOMParser().parseFromString(page, 'text/html').querySelector('#confirm');
  if (!asked) { location.href = link.href; return; } // which says why not
  const dialog = document.createElement('dialog');
  dialog.setAttribute('aria-labelledby', 'confirm-title');
  dialog.append(document.adoptNode(asked));
  dialog.addEventListener('close', () => { dialog.remove(); link.focus(); });
  dialog.addEventListener('click', (e) => {
    if (e.target.closest('[data-cancel]')) { e.preventDefault(); dialog.close(); }
  });
  document.body.append(dialog);
  dialog.showModal();
});

// The log of a module, as it goes on.
const logTable = document.querySelector('[data-log]');
if (logTable) {
  const body = logTable.tBodies[0];
  const pause = document.querySelector('[data-pause]');
  const most = Number(logTable.dataset.most);
  let waiting = [];
  let paused = false;
  const cell = (row, text, kind) => { const td = row.insertCell(); td.textContent = text; td.className = kind; };
  // What has no shape, or turns the direction of what follows, shows as an escape: as on the server.
  const visible = (text) => text.replace(/(?![\n\t\r])[\p{Cc}\p{Bidi_Control}]/gu, (c) => '\\u' + c.codePointAt(0).toString(16).padStart(4, '0'));
  const show = (line) => {
    const row = body.insertRow();
    row.className = 'level-' + line.level;
    cell(row, line.time.slice(0, 19).replace('T', ' ') + 'Z', 'mono');
    cell(row, line.level, '');
    cell(row, line.first_seq ? (line.first_seq === line.last_seq ? String(line.first_seq) : line.first_seq + '–' + line.last_seq) : '', 'number');
    cell(row, (line.generation || '').slice(0, 12), 'mono');
    cell(row, visible((line.upcaster ? line.upcaster + ': ' : '') + line.text), 'line');
    while (body.rows.length > most) body.deleteRow(0);
    document.querySelector('[data-empty]')?.remove();
  };
  const events = new EventSource(logTable.dataset.log);
  events.addEventListener('line', (e) => {
    waiting.push(JSON.parse(e.data));
    if (waiting.length > most) waiting.shift();
    if (!paused) { waiting.forEach(show); waiting = []; }
  });
  pause.hidden = false;
  pause.addEventListener('click', () => {
    paused = !paused;
    pause.textContent = paused ? 'Go on' : 'Pause';
    if (!paused) { waiting.forEach(show); waiting = []; }
  });
  window.addEventListener('pagehide', () => events.close());
}
