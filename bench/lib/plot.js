/**
 * Plots as SVG text: horizontal bars in panels, and lines over a logarithmic axis. The same numbers make the same bytes.
 * They stand on a background of their own, for dark pages. No colour has to be told from another: series differ in
 * lightness or dashes, what is not met is hatched. Texts get the room that they take in a wide sans-serif font.
 */

const WIDTH = 760;
const MARGIN = 16;
const FONT = 12;
const GAP = 8;
const TITLE_BOTTOM = MARGIN + FONT + GAP;
const INK = '#24292f';
const GRID = '#d8dee4';
const COLOURS = ['#1b5e9e', '#f2a541', '#3d8b57', '#8a8f98'];
const DASHES = ['', '9 4', '2 3', '9 3 2 3'];

/** Keeps the lines behind a text out of it. */
const HALO = 'stroke="#fff" stroke-width="4" paint-order="stroke"';

const BAR = 13;
const BAR_GAP = 2;
const ROW_GAP = 9;
const LINE_PLOT_HEIGHT = 260;
const SWATCH = 24;

/**
 * Horizontal bars. Panels with the same axis have the same scale. A bar belongs to the series of its place in the row;
 * bars that are given `wanted` get a mark there, and are hatched where `isMet` is false.
 *
 * @param panels [{ heading?, axis, rows: [{ name, bars: [{ value, label, wanted?, isMet? }] }] }]
 */
export function barPlot({ title, series, panels: given }) {
  const panels = given.map((panel) => ({ ...panel, rows: panel.rows.map(withSeries) }));
  const rows = panels.flatMap((panel) => panel.rows);
  const left = MARGIN + Math.max(...rows.map(({ name }) => widthOf(name))) + GAP;
  const key = legend(barKeys(series, rows), TITLE_BOTTOM);
  const parts = [...key.parts];
  let y = key.bottom;
  for (const panel of panels) {
    const alike = panels.filter(({ axis }) => axis === panel.axis).flatMap((each) => each.rows);
    const drawn = drawPanel(panel, { left, top: y, scale: scaleOf(alike, WIDTH - MARGIN - left) });
    parts.push(...drawn.parts);
    y = drawn.bottom;
  }
  return page({ title, height: y, parts });
}

/**
 * Lines over a logarithmic axis, a value of each series at each tick.
 *
 * @param x { axis, ticks: [{ value, name }] }
 */
export function linePlot({ title, x, yAxis, series }) {
  const key = legend(
    series.map(({ name }, number) => ({
      name,
      draw: (from, y) =>
        `<path d="M${from} ${y}h${SWATCH}" ${stroke(number)}/>${point(from + SWATCH / 2, y, number)}`,
    })),
    TITLE_BOTTOM,
  );
  const ticks = ticksTo(Math.max(...series.flatMap(({ values }) => values)), Math.ceil);
  const top = key.bottom + FONT + 2.5 * GAP;
  const bottom = top + LINE_PLOT_HEIGHT;
  const left = MARGIN + Math.max(...ticks.map((tick) => widthOf(tickName(tick)))) + GAP;
  const right = WIDTH - MARGIN - widthOf(x.ticks.at(-1).name) / 2;
  const [first, last] = [x.ticks[0].value, x.ticks.at(-1).value].map(Math.log);
  const across = (value) =>
    left + GAP + ((Math.log(value) - first) / (last - first || 1)) * (right - left - GAP);
  const down = (value) => bottom - (value / ticks.at(-1)) * LINE_PLOT_HEIGHT;
  const parts = [...key.parts, text(MARGIN, key.bottom + FONT + GAP / 2, yAxis)];
  for (const tick of ticks) {
    parts.push(`<path d="M${left} ${at(down(tick))}H${at(right)}" stroke="${GRID}"/>`);
    parts.push(text(left - GAP, down(tick) + 4, tickName(tick), 'end'));
  }
  for (const { value, name } of x.ticks) parts.push(text(across(value), bottom + FONT + 6, name, 'middle'));
  series.forEach(({ values }, number) => {
    const places = values.map((value, index) => [across(x.ticks[index].value), down(value)]);
    const path = places.map((place) => place.map(at).join(' ')).join('L');
    parts.push(`<path d="M${path}" fill="none" ${stroke(number)}/>`);
    parts.push(...places.map(([placeX, placeY]) => point(placeX, placeY, number)));
  });
  const end = bottom + 2 * (FONT + 6);
  parts.push(text((left + right) / 2, end, x.axis, 'middle'));
  return page({ title, height: end + GAP, parts });
}

const withSeries = ({ name, bars }) => ({ name, bars: bars.map((bar, series) => ({ ...bar, series })) });

function barKeys(series, rows) {
  const bars = rows.flatMap((row) => row.bars);
  const swatch = (fill) => (x, y) => `<rect x="${x}" y="${y - 6}" width="${SWATCH}" height="12" ${fill}/>`;
  const keys = series.map((name, number) => ({ name, draw: swatch(fillOf({ series: number })) }));
  const missed = bars.find(({ isMet }) => isMet === false);
  if (missed !== undefined) keys.push({ name: 'not met', draw: swatch(fillOf(missed)) });
  if (bars.some(({ wanted }) => wanted !== undefined)) {
    keys.push({ name: 'what is wanted', draw: (x, y) => wantedMark(x + SWATCH / 2, y - 6, 12) });
  }
  return keys;
}

/** Pixels for each unit, so that every bar, its mark and the label behind them have room; and how far the axis goes. */
function scaleOf(rows, room) {
  const bars = rows.flatMap((row) => row.bars);
  const perUnit = Math.min(
    ...bars.map((bar) => (room - widthOf(bar.label) - GAP) / Math.max(bar.value, bar.wanted ?? 0)),
  );
  const highest = Math.max(...bars.map((bar) => Math.max(bar.value, bar.wanted ?? 0)));
  return { perUnit, highest };
}

function drawPanel({ heading, axis, rows }, { left, top, scale }) {
  const parts = [];
  const behind = [];
  let y = top + GAP;
  if (heading !== undefined) {
    parts.push(text(MARGIN, y + FONT, heading, 'start', 'font-weight="bold"'));
    y += FONT + GAP;
  }
  const start = y;
  for (const { name, bars } of rows) {
    y += ROW_GAP / 2;
    const height = bars.length * (BAR + BAR_GAP) - BAR_GAP;
    parts.push(text(left - GAP, y + height / 2 + 4, name, 'end'));
    for (const bar of bars) {
      parts.push(drawBar(bar, { left, y, perUnit: scale.perUnit }));
      y += BAR + BAR_GAP;
    }
    y += ROW_GAP / 2 - BAR_GAP;
  }
  for (const tick of ticksTo(scale.highest, Math.floor)) {
    const x = left + tick * scale.perUnit;
    behind.push(`<path d="M${at(x)} ${at(start)}V${at(y + 4)}" stroke="${GRID}"/>`);
    parts.push(text(x, y + FONT + 6, tickName(tick), 'middle'));
  }
  parts.push(text(left, y + 2 * (FONT + 6), axis));
  return { parts: [...behind, ...parts], bottom: y + 2 * (FONT + 6) + GAP };
}

function drawBar(bar, { left, y, perUnit }) {
  const end = left + bar.value * perUnit;
  const mark = bar.wanted === undefined ? end : left + bar.wanted * perUnit;
  return (
    `<rect x="${left}" y="${at(y)}" width="${at(end - left)}" height="${BAR}" ${fillOf(bar)}/>` +
    (bar.wanted === undefined ? '' : wantedMark(mark, y, BAR)) +
    text(Math.max(end, mark) + GAP, y + BAR - 2, bar.label, 'start', HALO)
  );
}

const wantedMark = (x, y, height) =>
  `<path d="M${at(x)} ${at(y - 3)}v${height + 6}" stroke="${INK}" stroke-width="3"/>`;

const fillOf = ({ series, isMet }) =>
  isMet === false
    ? `fill="url(#missed${series})" stroke="${COLOURS[series]}"`
    : `fill="${COLOURS[series]}" stroke="${COLOURS[series]}"`;

const stroke = (number) =>
  `stroke="${COLOURS[number]}" stroke-width="2"${DASHES[number] === '' ? '' : ` stroke-dasharray="${DASHES[number]}"`}`;

const point = (x, y, number) => `<circle cx="${at(x)}" cy="${at(y)}" r="3" fill="${COLOURS[number]}"/>`;

/** Names with their swatches, in as many lines as they take. */
function legend(keys, top) {
  const parts = [];
  let [x, y] = [MARGIN, top + GAP];
  for (const { name, draw } of keys) {
    const width = SWATCH + 6 + widthOf(name);
    if (x > MARGIN && x + width > WIDTH - MARGIN) [x, y] = [MARGIN, y + FONT + GAP];
    parts.push(draw(x, y), text(x + SWATCH + 6, y + 4, name));
    x += width + 2 * GAP;
  }
  return { parts, bottom: y + GAP };
}

function page({ title, height, parts }) {
  const hatches = COLOURS.map(
    (colour, number) =>
      `<pattern id="missed${number}" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">` +
      `<rect width="6" height="6" fill="#fff"/><rect width="2" height="6" fill="${colour}"/></pattern>`,
  ).filter((_, number) => parts.some((part) => part.includes(`#missed${number}`)));
  const size = `width="${WIDTH}" height="${at(height)}"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} viewBox="0 0 ${WIDTH} ${at(height)}" role="img" font-family="sans-serif" font-size="${FONT}" fill="${INK}">`,
    `<title>${escaped(title)}</title>`,
    ...(hatches.length > 0 ? [`<defs>${hatches.join('')}</defs>`] : []),
    '<rect width="100%" height="100%" fill="#fff"/>',
    text(MARGIN, MARGIN + FONT, title, 'start', 'font-size="15" font-weight="bold"'),
    ...parts,
    '</svg>\n',
  ].join('\n');
}

function text(x, y, content, anchor = 'start', more = '') {
  const where = `x="${at(x)}" y="${at(y)}"${anchor === 'start' ? '' : ` text-anchor="${anchor}"`}`;
  return `<text ${where}${more === '' ? '' : ` ${more}`}>${escaped(content)}</text>`;
}

const widthOf = (content) => Math.ceil(content.length * FONT * 0.62);

/** Zero to `highest`, its end rounded, in at most six steps of 1, 2 or 5 and their tenfolds. */
function ticksTo(highest, round) {
  const power = 10 ** Math.floor(Math.log10(highest / 6));
  const step = [1, 2, 5, 10].find((each) => each * power * 6 >= highest) * power;
  return Array.from({ length: round(highest / step) + 1 }, (_, number) => number * step);
}

/** Without what adding tenths leaves behind. */
const tickName = (value) => String(Number(value.toPrecision(6)));

const at = (value) => String(Math.round(value * 10) / 10);

const escaped = (content) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
