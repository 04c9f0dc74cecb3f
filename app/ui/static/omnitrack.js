// What the pages do in the browser: header, the overview's players and timeline, keys. Elements start by themselves
// when Gradio puts them on the page.
'use strict';

const PREFIX = '/omnitrack';
const LANE_PX = 30;
const LABEL_PX = 150;

function currentRun() { return new URLSearchParams(location.search).get('run') || ''; }

function applyTheme() {
  const wanted = localStorage.getItem('omnitrack-theme') ||
    (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  document.body.classList.toggle('dark', wanted === 'dark');
}

function clock(seconds) {
  if (seconds >= 1e8) return new Date(seconds * 1000).toISOString().slice(0, 21).replace('T', ' ');
  const tenths = Math.round(seconds * 10);
  const two = (value) => String(value).padStart(2, '0');
  return `${Math.floor(tenths / 36000)}:${two(Math.floor(tenths / 600) % 60)}:${two(Math.floor(tenths / 10) % 60)}.${tenths % 10}`;
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// What the server says beside its answers (app/ui/calls.py): always as text, whatever names are in it.
function tell({ title, text, tone, seconds }) {
  let place = document.querySelector('.ot-toasts');
  if (!place) {
    place = element('div', { className: 'ot-toasts' });
    place.setAttribute('role', 'status');
    document.body.append(place);
  }
  const close = element('button', { type: 'button', textContent: '×', title: 'Close' });
  close.setAttribute('aria-label', 'Close');
  const toast = element('div', { className: `ot-toast ${tone}` }, element('b', { textContent: title }), close, element('p', { textContent: text }));
  close.addEventListener('click', () => toast.remove());
  place.append(toast);
  while (place.children.length > 4) place.firstChild.remove();
  if (seconds) setTimeout(() => toast.remove(), seconds * 1000);
}

// Calls that correct are sent one after the other, so that the last answer that a page shows is of the last click.
const plainFetch = window.fetch;
let before = Promise.resolve();
function inTurn(request) {
  const isCall = String(request[0]?.url || request[0]).includes('/gradio_api/run/');
  if (!isCall || !/\/(person|review|places|privacy)$/.test(location.pathname)) return plainFetch(...request);
  const answer = before.then(() => plainFetch(...request));
  before = answer.catch(() => {});
  return answer;
}

window.fetch = async (...request) => {
  const answer = await inTurn(request);
  if (answer.status === 401) location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`);
  const said = answer.headers.get('x-omnitrack-said');
  if (said) for (const one of JSON.parse(decodeURIComponent(said))) tell(one);
  return answer;
};

class Header extends HTMLElement {
  async connectedCallback() {
    applyTheme();
    this.who();
    this.querySelector('.ot-theme').addEventListener('click', () => {
      localStorage.setItem('omnitrack-theme', document.body.classList.contains('dark') ? 'light' : 'dark');
      applyTheme();
    });
    const run = currentRun();
    if (run) for (const link of this.querySelectorAll('a')) link.href = `${link.pathname}?run=${encodeURIComponent(run)}`;
    const chooser = this.querySelector('select');
    const runs = await (await fetch(`${PREFIX}/runs`)).json();
    for (const { id, name } of runs) chooser.append(element('option', { value: id, textContent: name, selected: id === run }));
    if (!runs.length) chooser.append(element('option', { textContent: 'none yet' }));
    chooser.disabled = !runs.length;
    chooser.addEventListener('change', () => {
      const page = location.pathname.replace(/\/person$/, '/people');
      location.href = `${page}?run=${encodeURIComponent(chooser.value)}`;
    });
  }

  // Who is logged in, with a way out; what the role does not allow is not offered (the server refuses it anyway).
  async who() {
    const { user, role, login } = await (await fetch(`${PREFIX}/me`)).json();
    document.body.dataset.role = role;
    if (!login) return;
    const out = element('form', { method: 'post', action: '/logout', className: 'ot-user' },
      element('span', { textContent: user, title: `may ${role}` }), element('button', { textContent: 'Log out' }));
    this.append(out);
  }
}

// All cameras at one moment of the shared clock, and a timeline with a lane for each person.
class Overview extends HTMLElement {
  async connectedCallback() {
    if (this.started) {  // moved from the page's first content into Gradio's
      if (this.ready) this.resizing.observe(this.timeline);
      if (this.wasPlaying) this.toggle();
      return;
    }
    const early = document.querySelector('#ot-boot ot-overview');
    if (early && !this.closest('#ot-boot')) { this.replaceWith(early); return; }
    this.started = true;
    this.run = this.dataset.run;
    const answer = await fetch(`${PREFIX}/${this.run}/timeline`);
    if (!answer.ok) { this.textContent = 'The timeline cannot be loaded.'; return; }
    this.data = await answer.json();
    this.from = this.data.start;
    this.to = Math.max(this.data.end, this.data.start + 1);
    this.playing = false;
    this.rate = 1;
    this.frameTimes = new Map();
    this.build();
    const wanted = parseFloat(new URLSearchParams(location.search).get('t'));
    this.seek(Number.isFinite(wanted) ? wanted : this.data.start);
    this.draw();
    this.resizing = new ResizeObserver(() => this.draw());
    this.resizing.observe(this.timeline);
    this.ready = true;
    this.dispatchEvent(new Event('ready'));
  }

  disconnectedCallback() { this.wasPlaying = this.playing; this.playing = false; this.resizing?.disconnect(); }

  build() {
    const cameras = this.data.cameras;
    const columns = cameras.length < 2 ? 1 : cameras.length < 5 ? 2 : cameras.length < 10 ? 3 : 4;
    this.players = cameras.map((camera, number) => this.player(camera, number));
    this.wall = element('div', { className: 'ot-wall' }, ...this.players.map((player) => player.tile));
    this.wall.style.setProperty('--columns', columns);
    this.wall.style.setProperty('--rows', Math.ceil(cameras.length / columns));
    this.play = element('button', { type: 'button', className: 'ot-button primary ot-play', textContent: 'Play' });
    this.play.addEventListener('click', () => this.toggle());
    this.now = element('span', { className: 'ot-now' });
    const step = (text, title, act) => {
      const button = element('button', { type: 'button', className: 'ot-button', textContent: text, title });
      button.setAttribute('aria-label', title);
      button.addEventListener('click', act);
      return button;
    };
    this.speed = element('select', { title: 'Speed' },
      ...[0.25, 0.5, 1, 2, 4, 8].map((rate) => element('option', { value: rate, textContent: `${rate}×`, selected: rate === 1 })));
    this.speed.setAttribute('aria-label', 'Speed');
    this.speed.addEventListener('change', () => { this.rate = Number(this.speed.value); this.place(true); });
    const find = element('a', { className: 'ot-button', textContent: 'Search in this frame', href: `/search?run=${this.run}`, hidden: !cameras.some((camera) => camera.frames) });
    find.addEventListener('click', () => { find.href = `/search?run=${this.run}&t=${this.time.toFixed(3)}`; });
    const transport = element('div', { className: 'ot-transport' },
      this.play, step('−5 s', 'Five seconds back', () => this.seek(this.time - 5)), step('+5 s', 'Five seconds on', () => this.seek(this.time + 5)),
      this.speed, this.now, find, element('span', { className: 'ot-space', textContent: 'Click a bar: every camera jumps there. Ctrl and the wheel zoom.' }),
      step('−', 'Zoom out', () => this.zoom(2)), step('+', 'Zoom in', () => this.zoom(0.5)), step('All', 'Show everything', () => this.show(this.data.start, this.data.end)));
    this.ruler = element('div', { className: 'ot-ruler' });
    this.lanes = element('div', { className: 'ot-lanes', tabIndex: 0 });
    this.lanes.setAttribute('aria-label', 'Timeline: space plays, arrows move by a second');
    this.canvas = element('div', {});
    this.canvas.style.cssText = `position:relative;height:${this.data.people.length * LANE_PX}px`;
    this.lanes.append(this.canvas);
    this.timeline = element('div', { className: 'ot-timeline' }, this.ruler, this.lanes);
    if (this.data.people.length * LANE_PX < 420) this.lanes.style.height = `${Math.max(1, this.data.people.length) * LANE_PX}px`;
    this.replaceChildren(this.wall, transport, this.timeline);
    this.listen();
  }

  player(camera, number) {
    const tile = element('figure', { className: 'ot-tile' });
    tile.style.setProperty('--aspect', `${camera.width}/${camera.height}`);
    const url = `${PREFIX}/${this.run}`;
    let view;
    if (camera.video) {
      view = element('video', { src: `${url}/video/${number}`, muted: true, preload: 'auto', playsInline: true });
    } else {
      view = element('img', { alt: `Camera ${camera.name}`, hidden: !camera.frames });
    }
    tile.append(view, element('div', { className: 'ot-off', textContent: camera.frames || camera.video ? 'not recording at this time' : camera.absent }),
      element('figcaption', { textContent: camera.name }));
    return { camera, number, tile, view, url: `${url}/frame/${number}`, loading: false, shown: null };
  }

  listen() {
    this.canvas.addEventListener('click', (event) => {
      const bar = event.target.closest('.ot-bar');
      if (bar) {
        this.chosen = bar.dataset.key;
        this.seek(Number(bar.dataset.start));
        this.draw();
      } else if (event.target.closest('.ot-track')) {
        this.seek(this.timeAt(event.clientX));
      }
    });
    this.ruler.addEventListener('pointerdown', (event) => {
      this.ruler.setPointerCapture(event.pointerId);
      this.seek(this.timeAt(event.clientX));
      this.ruler.onpointermove = (move) => this.seek(this.timeAt(move.clientX));
      this.ruler.onpointerup = () => { this.ruler.onpointermove = null; };
    });
    this.timeline.addEventListener('wheel', (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(Math.exp(event.deltaY / 300), this.timeAt(event.clientX));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        const shift = (event.deltaX || event.deltaY) / this.width() * (this.to - this.from);
        this.show(this.from + shift, this.to + shift);
      }
    }, { passive: false });
    this.lanes.addEventListener('scroll', () => this.draw());
    this.addEventListener('keydown', (event) => {
      if (event.target.closest('select, a')) return;
      const keys = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
      if (event.key === ' ' && !event.target.closest('button')) this.toggle();
      else if (event.key in keys) this.seek(this.time + keys[event.key]);
      else if (event.key === '+') this.zoom(0.5);
      else if (event.key === '-') this.zoom(2);
      else return;
      event.preventDefault();
    });
  }

  width() { return Math.max(50, this.ruler.clientWidth); }

  timeAt(clientX) {
    const share = (clientX - this.ruler.getBoundingClientRect().left) / this.width();
    return this.from + share * (this.to - this.from);
  }

  seek(time) {
    this.time = Math.min(Math.max(time, this.data.start), this.data.end);
    if (this.time < this.from || this.time > this.to) {
      const length = this.to - this.from;
      this.show(this.time - length / 4, this.time + 3 * length / 4);
    }
    this.place(true);
    this.drawHead();
  }

  toggle() {
    this.playing = !this.playing;
    this.play.textContent = this.playing ? 'Pause' : 'Play';
    if (this.playing && this.time >= this.data.end) this.time = this.data.start;
    this.place(true);
    let before = performance.now();
    const advance = (now) => {
      if (!this.playing || !this.isConnected) return;
      this.time += (now - before) / 1000 * this.rate;
      before = now;
      if (this.time >= this.data.end) { this.time = this.data.end; this.toggle(); }
      if (this.time > this.to) this.show(this.time, this.time + this.to - this.from);
      this.place(false);
      this.drawHead();
      requestAnimationFrame(advance);
    };
    if (this.playing) requestAnimationFrame(advance);
  }

  // Bring every camera to the present moment; while playing, videos run by themselves and are only set right.
  place(exactly) {
    for (const player of this.players) {
      const { camera, view, tile } = player;
      const inside = this.time >= camera.start - 0.02 && this.time <= camera.end + 1.5 / (camera.fps || 10);
      tile.classList.toggle('off', !inside || !(camera.video || camera.frames));
      tile.dataset.time = this.time.toFixed(3);
      const wanted = Math.min(Math.max(this.time, camera.start), camera.end) - camera.start;
      if (camera.video) {
        const drift = Math.abs(view.currentTime - wanted);
        if (exactly || drift > 0.25 * Math.max(1, this.rate)) view.currentTime = wanted + 0.001;
        view.playbackRate = this.rate;
        if (this.playing && inside && view.paused) view.play().catch(() => {});
        if ((!this.playing || !inside) && !view.paused) view.pause();
      } else if (camera.frames) {
        player.wanted = wanted + camera.start;
        this.load(player);
      }
    }
  }

  // One frame at a time for each camera: the latest that was asked for follows the one on its way.
  load(player) {
    if (player.loading || player.wanted === player.shown) return;
    player.loading = true;
    const asked = player.wanted;
    const done = () => { player.loading = false; player.shown = asked; this.load(player); };
    player.view.onload = done;
    player.view.onerror = () => { player.tile.classList.add('off'); player.tile.querySelector('.ot-off').textContent = player.camera.absent; player.shown = asked; };
    player.view.src = `${player.url}?t=${asked.toFixed(3)}`;
  }

  zoom(factor, around = this.time) {
    const length = Math.min(Math.max((this.to - this.from) * factor, 1), this.data.end - this.data.start || 1);
    const share = (around - this.from) / (this.to - this.from);
    this.show(around - share * length, around + (1 - share) * length);
  }

  show(from, to) {
    const all = Math.max(this.data.end - this.data.start, 1);
    const length = Math.min(Math.max(to - from, 1), all);
    this.from = Math.min(Math.max(from, this.data.start), this.data.start + all - length);
    this.to = this.from + length;
    this.draw();
  }

  draw() {
    if (!this.lanes.isConnected) return;
    const scale = 100 / (this.to - this.from);
    this.drawRuler(scale);
    const first = Math.max(0, Math.floor(this.lanes.scrollTop / LANE_PX) - 2);
    const last = Math.min(this.data.people.length, Math.ceil((this.lanes.scrollTop + this.lanes.clientHeight) / LANE_PX) + 2);
    const lanes = [];
    for (let row = first; row < last; row += 1) lanes.push(this.lane(this.data.people[row], row, scale));
    this.canvas.replaceChildren(...lanes);
    this.drawHead();
  }

  lane(person, row, scale) {
    const track = element('div', { className: 'ot-track' });
    const wide = this.width() / (this.to - this.from);
    // Cameras that see a person at the same time share the height of the lane: no bar lies under another one.
    const free = [];
    const visits = [...person.visits].sort((a, b) => a[2] - b[2]).map((visit) => {
      const fits = free.findIndex((end) => end <= visit[2]);
      const level = fits < 0 ? free.length : fits;
      free[level] = visit[3];
      return [...visit, level];
    });
    const height = free.length > 1 ? 26 / free.length - 1 : 18;
    const top = free.length > 1 ? 2 : 6;
    for (const [camera, id, start, end, level] of visits) {
      if (end < this.from || start > this.to) continue;
      const name = this.data.cameras[camera].name;
      const bar = element('button', { type: 'button', className: 'ot-bar', title: `${person.label} on ${name}, ${clock(start)} – ${clock(end)}` });
      if ((end - start) * wide > 50 && height > 10) bar.textContent = name;
      bar.style.cssText = `left:${(start - this.from) * scale}%;width:${(end - start) * scale}%;background:${person.color};`
        + `top:${top + level * (height + 1)}px;height:${height}px;line-height:${height}px`;
      Object.assign(bar.dataset, { start, key: `${camera}.${id}`, person: person.id });
      bar.classList.toggle('chosen', bar.dataset.key === this.chosen);
      track.append(bar);
    }
    const dot = element('i', { className: 'ot-dot' });
    dot.style.background = person.color;
    const link = element('a', { href: `/person?run=${this.run}&person=${person.id}` }, dot, person.label);
    if (person.doubtful) link.append(element('i', { className: 'ot-doubt', title: 'doubtful: see the page Review', textContent: '?' }));
    const lane = element('div', { className: 'ot-lane' }, link, track);
    lane.style.top = `${row * LANE_PX}px`;
    return lane;
  }

  drawRuler(scale) {
    const least = (this.to - this.from) / this.width() * 110;
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 86400];
    const step = steps.find((seconds) => seconds >= least) || 86400 * Math.ceil(least / 86400);
    const marks = [];
    for (let time = Math.ceil(this.from / step) * step; time <= this.to; time += step) {
      const mark = element('span', { textContent: time >= 1e8 ? new Date(time * 1000).toISOString().slice(11, 19) : clock(time).slice(0, -2) });
      mark.style.left = `${(time - this.from) * scale}%`;
      marks.push(mark);
    }
    this.ruler.replaceChildren(...marks);
  }

  drawHead() {
    this.now.textContent = clock(this.time);
    const share = (this.time - this.from) / (this.to - this.from);
    for (const [parent, left] of [[this.ruler, 0], [this.canvas, LABEL_PX]]) {
      let head = parent.querySelector(':scope > .ot-head');
      if (!head) { head = element('div', { className: 'ot-head' }); parent.append(head); }
      head.style.left = `calc(${left}px + ${share} * (100% - ${left}px))`;
      head.style.display = share < 0 || share > 1 ? 'none' : '';
    }
  }
}

// Keys of a page: <ot-keys> around buttons with data-key.
class Keys extends HTMLElement {
  connectedCallback() {
    this.listener = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.('input, textarea, select, [contenteditable]')) return;
      const button = this.querySelector(`[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
      if (button) { event.preventDefault(); button.click(); }
    };
    document.addEventListener('keydown', this.listener);
  }

  disconnectedCallback() { document.removeEventListener('keydown', this.listener); }
}

// The pictures of a run that goes on. The next one is asked for when the last one is there, so that nothing flickers.
class Live extends HTMLElement {
  connectedCallback() {
    this.view = element('img', { alt: 'What the cameras of the running job show', hidden: true });
    this.words = element('div', { className: 'ot-live-wait', textContent: 'Waiting for the first pictures' });
    this.replaceChildren(this.view, this.words);
    this.next();
  }

  disconnectedCallback() { clearTimeout(this.timer); }

  async next() {
    try {
      const answer = await fetch(`${this.dataset.src}?t=${Date.now()}`);
      if (answer.status === 200) {
        const url = URL.createObjectURL(await answer.blob());
        this.view.onload = () => URL.revokeObjectURL(url);
        this.view.src = url;
        this.view.hidden = false;
        this.words.hidden = true;
      }
    } catch { /* the server is busy or gone: try again */ }
    if (this.isConnected) this.timer = setTimeout(() => this.next(), 1000);
  }
}

// A frame of one camera on which a box is drawn; the box becomes the `select` event of the gr.HTML around it.
class Pick extends HTMLElement {
  connectedCallback() {
    this.cameras = JSON.parse(this.dataset.cameras);
    this.camera = this.cameras[0];
    this.chooser = element('select', {}, ...this.cameras.map((camera, row) => element('option', { value: row, textContent: camera.name })));
    this.chooser.setAttribute('aria-label', 'Camera');
    this.chooser.addEventListener('change', () => { this.camera = this.cameras[Number(this.chooser.value)]; this.show(this.time); });
    this.slider = element('input', { type: 'range', step: 'any' });
    this.slider.setAttribute('aria-label', 'Time');
    this.slider.addEventListener('input', () => this.show(Number(this.slider.value)));
    this.now = element('span', { className: 'ot-now' });
    const step = (text, seconds) => {
      const button = element('button', { type: 'button', className: 'ot-button', textContent: text });
      button.addEventListener('click', () => this.show(this.time + seconds));
      return button;
    };
    this.view = element('img', { alt: 'The frame on which a box is drawn', draggable: false });
    this.box = element('div', { className: 'ot-box', hidden: true });
    this.frame = element('div', { className: 'ot-pick-frame' }, this.view, this.box);
    this.replaceChildren(
      element('div', { className: 'ot-transport' }, this.chooser, step('−1 s', -1), step('+1 s', 1), this.slider, this.now),
      this.frame, element('p', { className: 'ot-facts', textContent: 'Drag from one corner of a person to the other one.' }));
    this.drag();
    const wanted = parseFloat(this.dataset.at);
    const details = this.closest('details');
    const begin = () => { if (details?.open !== false && this.time === undefined) this.show(Number.isFinite(wanted) ? wanted : this.camera.start); };
    details?.addEventListener('toggle', begin);
    begin();
  }

  show(time) {
    this.time = Math.min(Math.max(time, this.camera.start), this.camera.end);
    Object.assign(this.slider, { min: this.camera.start, max: this.camera.end, value: this.time });
    this.now.textContent = clock(this.time);
    const aspect = this.camera.width / this.camera.height;
    Object.assign(this.frame.style, { aspectRatio: aspect, maxWidth: `min(1000px, ${70 * aspect}vh)` });
    this.box.hidden = true;
    this.load();
  }

  // One frame at a time: the latest that was asked for follows the one on its way.
  load() {
    const url = `${PREFIX}/${this.dataset.run}/frame/${this.camera.number}?t=${this.time.toFixed(3)}`;
    if (this.loading || url === this.shown) return;
    this.loading = true;
    const done = () => { this.loading = false; this.shown = url; this.load(); };
    this.view.onload = done;
    this.view.onerror = done;
    this.view.src = url;
  }

  drag() {
    const at = (event) => {
      const { left, top, width, height } = this.frame.getBoundingClientRect();
      return [(event.clientX - left) / width, (event.clientY - top) / height].map((share) => Math.min(Math.max(share, 0), 1));
    };
    this.frame.addEventListener('pointerdown', (event) => {
      event.preventDefault();
      this.frame.setPointerCapture(event.pointerId);
      const from = at(event);
      const sides = (to) => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
      this.frame.onpointermove = (move) => {
        const [x1, y1, x2, y2] = sides(at(move));
        this.box.hidden = false;
        this.box.style.cssText = `left:${100 * x1}%;top:${100 * y1}%;width:${100 * (x2 - x1)}%;height:${100 * (y2 - y1)}%`;
      };
      this.frame.onpointerup = (up) => {
        this.frame.onpointermove = this.frame.onpointerup = null;
        const [x1, y1, x2, y2] = sides(at(up));
        if (x2 - x1 < 0.01 || y2 - y1 < 0.01) { this.box.hidden = true; return; }
        const button = element('button', { type: 'button', hidden: true });
        Object.assign(button.dataset, { action: 'box', camera: this.camera.number, t: this.time, x1, y1, x2, y2 });
        this.append(button);
        button.click();
        button.remove();
      };
    });
  }
}

// What came with the page (app/ui/boot.py) goes when Gradio shows the same. A button pressed before is pressed then.
function handOver() {
  const boot = document.getElementById('ot-boot');
  if (!boot) return;
  let pressed = null;
  boot.addEventListener('click', (event) => {
    const button = event.target.closest('[data-action]');
    if (!button || button.disabled) return;
    pressed?.classList.remove('pressed');
    button.classList.add('pressed');
    pressed = button;
  });
  const named = (button) => JSON.stringify({ ...button.dataset });
  const { until } = document.getElementById('ot-until').dataset;
  const arrived = () => [...document.querySelectorAll(until)].some((place) => !boot.contains(place) &&
    place.querySelector('[class^="ot-"], ot-header, ot-overview'));
  const watching = new MutationObserver(() => {
    if (!arrived()) return;
    watching.disconnect();
    const scrolled = boot.scrollTop;
    boot.remove();
    scrollTo(0, scrolled);
    if (pressed) [...document.querySelectorAll('[data-action]')].find((button) => named(button) === named(pressed))?.click();
  });
  watching.observe(document.body, { childList: true, subtree: true });
}

// The second half of a double click is not meant as a second correction.
document.addEventListener('click', (event) => {
  const button = event.target.closest('[data-action], .ot-once button, button.ot-once');
  if (event.detail < 2 || !button || ['next', 'previous', 'skip'].includes(button.dataset.action)) return;
  event.stopImmediatePropagation();
  event.preventDefault();
}, true);

handOver();
customElements.define('ot-header', Header);
customElements.define('ot-pick', Pick);
customElements.define('ot-live', Live);
customElements.define('ot-overview', Overview);
customElements.define('ot-keys', Keys);
