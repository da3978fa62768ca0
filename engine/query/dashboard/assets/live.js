'use strict';

// What is live, and keys. A page whose body names an address of events (data-live) has its element
// "live" drawn anew by the server whenever one comes. What stays the same stays as it is, so
// that nothing jumps, and nothing loses the focus.

(() => {
// become makes an element what another one is, touching only what differs.
function become(from, to) {
  if ('keep' in (from.dataset || {})) return; // a script draws there
  for (const { name } of [...from.attributes]) {
    if (!to.hasAttribute(name) && !(from.tagName === 'DETAILS' && name === 'open')) from.removeAttribute(name);
  }
  for (const { name, value } of to.attributes) {
    if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  }
  if ('value' in from && from.tagName === 'PROGRESS') from.value = to.value;
  let at = from.firstChild;
  for (let next = to.firstChild; next; next = next.nextSibling) {
    const known = next.id ? [...from.children].find((c) => c.id === next.id) : null;
    if (known && known !== at) from.insertBefore(known, at);
    const has = known || at;
    if (has && has.nodeType === next.nodeType && has.nodeName === next.nodeName && (known || !has.id && !next.id)) {
      if (has.nodeType === Node.ELEMENT_NODE) become(has, next);
      else if (has.nodeValue !== next.nodeValue) has.nodeValue = next.nodeValue;
      at = has.nextSibling;
    } else {
      from.insertBefore(document.importNode(next, true), at);
    }
  }
  while (at) {
    const rest = at.nextSibling;
    at.remove();
    at = rest;
  }
}

const live = {
  source: null, paused: false, due: false, busy: false, timer: 0, retry: 0,

  say(text, state) {
    document.getElementById('connection-text').textContent = text;
    document.getElementById('connection').dataset.state = state;
  },

  // follow draws what is new, unless the person wants the page to stand still.
  follow() { if (!live.paused) live.draw(); },

  // draw asks the server for the page as it is now.
  async draw() {
    if (live.busy) { live.due = true; return; }
    const paused = live.paused;
    live.busy = true;
    try {
      const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
      if (answer.status === 401) { location.reload(); return; }
      if (answer.status >= 500) return; // the next one may be better
      const text = await answer.text();
      if (live.paused && !paused) return; // meanwhile
      const next = new DOMParser().parseFromString(text, 'text/html').getElementById('live');
      if (!next) { location.reload(); return; } // an error, which is a page of its own
      become(document.getElementById('live'), next);
      addPlots();
    } catch {
      // the connection is lost, which the events tell
    } finally {
      live.busy = false;
      if (live.due) { live.due = false; setTimeout(paused ? live.draw : live.follow, 250); }
    }
  },

  open() {
    if (live.source || live.paused || document.hidden) return;
    live.source = new EventSource(document.body.dataset.live);
    live.source.onopen = () => { // again, too, after the connection was lost
      live.say('live', 'live');
      clearInterval(live.timer);
      live.timer = setInterval(live.follow, 5000); // curves go on though nothing changes
    };
    live.source.addEventListener('status', live.follow);
    live.source.addEventListener('end', () => live.lost());
    live.source.onerror = () => live.lost();
  },

  lost() {
    if (!live.source) return;
    live.say('connection lost, trying again', 'lost');
    clearInterval(live.timer);
    if (live.source.readyState === EventSource.CLOSED) { // it was refused: the browser does not try again
      live.close();
      live.retry = setTimeout(() => { live.open(); live.follow(); }, 3000); // to be asked for a token, if that is why
    }
  },

  close() {
    clearInterval(live.timer);
    clearTimeout(live.retry);
    if (live.source) live.source.close();
    live.source = null;
  },

  pause(paused) {
    live.paused = paused;
    const button = document.getElementById('pause');
    button.setAttribute('aria-pressed', String(paused));
    button.textContent = paused ? 'Go on' : 'Pause';
    if (paused) { live.close(); live.say('paused', 'paused'); } else { live.say('connecting', 'lost'); live.open(); live.draw(); }
  },
};

if (document.body.dataset.live && document.getElementById('connection')) {
  document.getElementById('connection').hidden = false;
  live.say('connecting', 'lost');
  document.getElementById('pause').addEventListener('click', () => live.pause(!live.paused));
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) live.close(); // a browser has few connections
    else if (!live.paused) { live.open(); live.draw(); }
  });
  live.open();
}

// Curves that can be pointed at and zoomed (drag; a double click goes back) stand in place of
// those that the server drew: in a figure that has the address of samples, and the name of a
// member of them.
const plots = [];

// colour is one of the style sheet, as a canvas takes it.
function colour(name) {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const is = getComputedStyle(probe).color;
  probe.remove();
  return is;
}

const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB');
// brief is a number that fits beside an axis: 12M.
const brief = (v) => (v < 10000 ? number(v) : v.toLocaleString('en', { notation: 'compact', maximumFractionDigits: 1 }));
const number = (v) => v.toLocaleString('en', { maximumFractionDigits: v < 10 ? 1 : 0 }).replaceAll(',', ' ');

function plot(figure) {
  const box = document.createElement('div');
  const caption = figure.querySelector('figcaption');
  const name = figure.dataset.plot;
  const label = caption.textContent.split(/[,:]/)[0];
  figure.dataset.keep = '';
  figure.querySelector('svg').replaceWith(box);
  const axis = { stroke: () => colour('--quiet'), grid: { stroke: () => colour('--line'), width: 1 }, ticks: { show: false }, font: '11px system-ui' };
  const say = (u) => {
    const i = u.cursor.idx, values = u.data[1];
    if (i != null && values[i] != null) caption.textContent = `${label}: ${number(values[i])} at ${clock(u.data[0][i])}`;
    else caption.textContent = `${label}, last 10 minutes: at most ${number(Math.max(0, ...values))}`;
  };
  const u = new uPlot({
    width: figure.clientWidth, height: 110, cursor: { y: false }, legend: { show: false },
    scales: { x: { range: (u, low, high) => [low ?? 0, high ?? 600] }, y: { range: (_, low, high) => [0, Math.max(high || 0, 1)] } },
    series: [{}, { stroke: () => colour('--busy'), width: 1.5, points: { show: false } }],
    axes: [{ ...axis, size: 24, space: 70, values: (_, all) => all.map((t) => clock(t).slice(0, -3)), incrs: [60, 120, 300, 600] }, { ...axis, size: 52, space: 28, values: (_, all) => all.map(brief) }],
    hooks: { setCursor: [say], setData: [say] },
  }, [[], []], box);
  plots.push({ u, figure, of: (s) => (name === 'behind_ms' ? s[name] / 1000 : s[name]), address: figure.dataset.samples });
}

async function drawPlots() {
  if (!plots.length || live.paused || document.hidden) return;
  const answer = await fetch(plots[0].address);
  if (!answer.ok) return;
  const { samples } = await answer.json();
  const times = samples.map((s) => Date.parse(s.time) / 1000);
  const end = times.at(-1) || Date.now() / 1000;
  for (const p of plots) {
    const { min, max } = p.u.scales.x;
    const zoomed = p.end && (max - min < 599 || Math.abs(max - p.end) > 1);
    p.u.setData([times, samples.map(p.of)], false);
    if (zoomed) p.u.redraw();
    else p.u.setScale('x', { min: end - 600, max: end });
    p.end = end;
  }
}

// addPlots draws in figures that are new.
function addPlots() {
  const fresh = window.uPlot ? document.querySelectorAll('figure[data-plot]:not([data-keep])') : [];
  fresh.forEach(plot);
  if (fresh.length) drawPlots().catch(() => {}); // the connection is lost, which the events tell
}

addPlots();
if (document.querySelector('figure[data-plot]')) {
  setInterval(() => drawPlots().catch(() => {}), 5000);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => plots.forEach((p) => p.u.redraw()));
  addEventListener('resize', () => plots.forEach((p) => p.u.setSize({ width: p.figure.clientWidth, height: 110 })));
}

// The filter of the overview is heeded as it is typed; its address is what the page shows.
const filter = document.querySelector('[data-filter]');
if (filter) {
  let wait = 0;
  filter.addEventListener('input', () => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      const to = new URL(location.href);
      if (filter.value) to.searchParams.set('filter', filter.value);
      else to.searchParams.delete('filter');
      history.replaceState(null, '', to);
      live.draw();
    }, 150);
  });
}

// --- Keys. They do nothing while something is typed.
const help = document.getElementById('help');
const helpButton = document.getElementById('help-button');
helpButton.hidden = false;
helpButton.addEventListener('click', () => help.showModal());

let former = '';
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select, [contenteditable]')) return;
  const keys = former + event.key;
  former = event.key === 'g' ? 'g' : '';
  const pause = document.getElementById('pause');
  const search = document.querySelector('[data-filter], main input[type=search]');
  if (keys === 'go') location.assign('/');
  else if (event.key === '?' && !help.open) help.showModal();
  else if (event.key === 'p' && pause && document.body.dataset.live) pause.click();
  else if (event.key === '/' && search) search.focus();
  else return;
  event.preventDefault();
});
})();
