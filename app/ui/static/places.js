// The picture of the page Places: heat, zones and lines over one frame of a camera, and drawing new ones.
'use strict';

(() => {
const SVG = 'http://www.w3.org/2000/svg';
function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

class Places extends HTMLElement {
  connectedCallback() {
    this.heat = true;
    this.start();
    // After a change Gradio keeps this element: it takes the children away and gives it new values.
    this.watching = new MutationObserver(() => setTimeout(() => {
      if (this.isConnected && !this.childElementCount) this.start();
    }));
    this.watching.observe(this, { childList: true });
    this.keys = (event) => {
      if (!this.tool || event.target.closest?.('input, textarea, select')) return;
      if (event.key === 'Escape') this.begin(null);
      else if (event.key === 'Enter' && this.points.length >= 3) this.close();
      else if (event.key === 'Backspace') { this.points.pop(); this.draw(); }
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', this.keys);
  }

  disconnectedCallback() {
    document.removeEventListener('keydown', this.keys);
    this.watching.disconnect();
  }

  start() {
    this.values = JSON.parse(this.dataset.values);
    this.doors = this.values.learned;
    this.points = [];
    this.tool = null;
    this.build();
    this.show(this.values.camera);
  }

  build() {
    const button = (text, act, title = text) => {
      const made = make('button', { type: 'button', className: 'ot-button', textContent: text, title });
      made.addEventListener('click', act);
      return made;
    };
    this.cameras = this.values.cameras.map((camera, number) => button(camera.name, () => this.show(number)));
    this.heatButton = button('Heat', () => { this.heat = !this.heat; this.draw(); }, 'Where people stood, and for how long');
    this.doorButton = button('Entries and exits', () => { this.doors = !this.doors; this.draw(); },
      this.values.learned ? 'Where people come into view and leave it' : 'Linking the run learns them: main.py link RUN');
    this.doorButton.disabled = !this.values.learned;
    this.zoneButton = button('Zone', () => this.begin(this.tool === 'zone' ? null : 'zone'), 'Draw a zone: click its corners');
    this.lineButton = button('Line', () => this.begin(this.tool === 'line' ? null : 'line'), 'Draw a line: click its two ends');
    this.still = make('img', { alt: '' });
    this.warmth = make('img', { alt: '', className: 'ot-heat' });
    this.overlay = shape('svg', { preserveAspectRatio: 'none' });
    this.absent = make('div', { className: 'ot-off', });
    this.figure = make('figure', { className: 'ot-canvas' }, this.still, this.warmth, this.absent, this.overlay);
    this.still.addEventListener('load', () => { this.absent.style.display = 'none'; });
    this.still.addEventListener('error', () => { this.absent.style.display = 'grid'; });
    this.hint = make('span', { className: 'ot-canvas-hint' });
    this.name = make('input', { type: 'text', maxLength: 60, placeholder: 'Name' });
    this.name.setAttribute('aria-label', 'Name of the zone or line');
    this.name.addEventListener('keydown', (event) => { if (event.key === 'Enter') this.save.click(); if (event.key === 'Escape') this.begin(null); });
    this.save = button('Save', (event) => {
      if (!this.name.value.trim()) { event.stopPropagation(); this.name.focus(); return; }
      Object.assign(this.save.dataset, { name: this.name.value.trim(), camera: this.number, points: JSON.stringify(this.points) });
    });
    this.save.classList.add('primary');
    this.form = make('span', { className: 'ot-canvas-form' }, this.name, this.save, button('Cancel', () => this.begin(null)));
    const group = (label, ...buttons) => {
      const made = make('div', { className: 'ot-tools' }, ...buttons);
      made.setAttribute('role', 'group');
      made.setAttribute('aria-label', label);
      return made;
    };
    this.replaceChildren(
      make('div', { className: 'ot-canvas-bar' }, group('Camera', ...this.cameras), group('Show', this.heatButton, this.doorButton), group('Draw', this.zoneButton, this.lineButton)),
      this.figure, make('div', { className: 'ot-canvas-foot' }, this.hint, this.form));
    this.overlay.addEventListener('click', (event) => this.click(event));
    this.overlay.addEventListener('dblclick', () => { if (this.points.length >= 3) this.close(); });
    this.overlay.addEventListener('pointermove', (event) => { if (this.tool && !this.done) { this.cursor = this.at(event); this.draw(); } });
  }

  show(number) {
    this.number = number;
    this.camera = this.values.cameras[number];
    this.figure.style.aspectRatio = `${this.camera.width}/${this.camera.height}`;
    this.figure.style.maxWidth = `calc(66vh * ${this.camera.width / this.camera.height})`;
    this.overlay.setAttribute('viewBox', `0 0 ${this.camera.width} ${this.camera.height}`);
    this.absent.textContent = this.camera.absent;
    this.still.alt = `A picture of ${this.camera.name}`;
    this.still.src = `${this.values.base}/still/${number}`;
    this.warmth.src = `${this.values.base}/heat/${number}`;
    this.begin(null);
  }

  begin(tool) {
    this.tool = tool;
    this.points = [];
    this.cursor = null;
    this.done = false;
    this.name.value = '';
    this.draw();
  }

  at(event) {
    const box = this.overlay.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * this.camera.width;
    const y = (event.clientY - box.top) / box.height * this.camera.height;
    return [Math.round(x * 10) / 10, Math.round(y * 10) / 10];
  }

  click(event) {
    if (!this.tool || this.done) return;
    const point = this.at(event);
    const last = this.points.at(-1);
    const pixel = this.camera.width / this.overlay.getBoundingClientRect().width;
    if (last && Math.hypot(last[0] - point[0], last[1] - point[1]) < 4 * pixel) return;  // the second click of a double click
    this.points.push(point);
    if (this.tool === 'line' && this.points.length === 2) this.close();
    this.draw();
  }

  close() {
    this.done = true;
    this.save.dataset.action = this.tool;
    this.draw();
    this.name.focus();
  }

  draw() {
    this.cameras.forEach((button, number) => button.setAttribute('aria-pressed', number === this.number));
    for (const [button, on] of [[this.heatButton, this.heat], [this.doorButton, this.doors], [this.zoneButton, this.tool === 'zone'], [this.lineButton, this.tool === 'line']]) {
      button.setAttribute('aria-pressed', on);
    }
    this.warmth.style.display = this.heat ? '' : 'none';
    this.figure.classList.toggle('drawing', Boolean(this.tool) && !this.done);
    this.form.style.display = this.done ? '' : 'none';
    this.hint.textContent = this.done ? `Name this ${this.tool}:`
      : this.tool === 'zone' ? 'Click the corners; a double click or Enter closes the zone, Esc gives up.'
      : this.tool === 'line' ? 'Click the two ends. “In” is from the left to the right of somebody who looks from the first to the second.'
      : this.doors && (this.camera.entries.length || this.camera.exits.length) ? 'Green: where people come into view. Red and dashed: where they leave it.'
      : this.doors ? 'Nobody was seen often enough to learn where people come and go on this camera.'
      : '';
    const size = this.camera.width / 60;
    const made = [];
    if (this.doors) {
      for (const kind of ['entries', 'exits']) {
        for (const place of this.camera[kind]) {
          const ellipse = shape('ellipse', { cx: place.x, cy: place.y, rx: place.rx, ry: place.ry, class: `ot-door ${kind}`, transform: `rotate(${place.angle} ${place.x} ${place.y})` });
          ellipse.append(shape('title', {}, `${kind === 'entries' ? 'People come into view here' : 'People leave the view here'}: ${place.sightings} times`));
          made.push(ellipse);
        }
      }
    }
    const label = (x, y, text) => made.push(shape('text', { x, y, class: 'ot-shape-name', 'font-size': size }, text));
    for (const zone of this.camera.zones) {
      made.push(shape('polygon', { points: zone.points.map((p) => p.join(',')).join(' '), class: 'ot-zone' }));
      label(zone.points.reduce((sum, p) => sum + p[0], 0) / zone.points.length, zone.points.reduce((sum, p) => sum + p[1], 0) / zone.points.length, zone.name);
    }
    for (const line of this.camera.lines) {
      const [[x1, y1], [x2, y2]] = line.points;
      made.push(shape('line', { x1, y1, x2, y2, class: 'ot-gate' }));
      const length = Math.hypot(x2 - x1, y2 - y1);
      const [mx, my, nx, ny] = [(x1 + x2) / 2, (y1 + y2) / 2, -(y2 - y1) / length, (x2 - x1) / length];
      const tip = size * 1.4;  // the arrow says which way is in: to the right
      made.push(shape('path', { d: `M${mx} ${my}L${mx + nx * tip} ${my + ny * tip}M${mx + nx * tip * 0.4 - ny * tip * 0.4} ${my + ny * tip * 0.4 + nx * tip * 0.4}L${mx + nx * tip} ${my + ny * tip}L${mx + nx * tip * 0.4 + ny * tip * 0.4} ${my + ny * tip * 0.4 - nx * tip * 0.4}`, class: 'ot-gate' }));
      label(mx + nx * tip * 2.7, my + ny * tip * 2.7 + size / 3, line.name);
    }
    if (this.tool && this.points.length) {
      const open = this.done ? this.points : [...this.points, this.cursor || this.points.at(-1)];
      made.push(shape(this.done && this.tool === 'zone' ? 'polygon' : 'polyline', { points: open.map((p) => p.join(',')).join(' '), class: 'ot-new' }));
      for (const [cx, cy] of this.points) made.push(shape('circle', { cx, cy, r: size / 4, class: 'ot-corner' }));
    }
    this.overlay.replaceChildren(...made);
  }
}

customElements.define('ot-places', Places);
})();
