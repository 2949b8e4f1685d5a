/** The report of a simulation as one HTML page that needs nothing else: figures, charts over time, the plan. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { SimulationResult } from './main.ts';
import { type Timing, timings } from './measurements.ts';
import type { VerifyResult } from './verify.ts';

const require = createRequire(import.meta.url);
/** uPlot, MIT: its script and style go into the page. */
const asset = (name: string): string => readFileSync(require.resolve(`uplot/dist/${name}`), 'utf8');

const escapeHtml = (value: unknown): string =>
  String(value).replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const ms = (value: number): string =>
  value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value.toFixed(value < 10 ? 2 : 0)} ms`;

const titles: Record<Timing, string> = {
  tls: 'TLS handshake, from the intended time',
  connack: 'CONNACK, from the handshake',
  connect: 'Connect, from the intended time',
  puback: 'Acknowledgement, from the intended time',
  lateness: 'Lateness of the generator itself',
};

export interface ReportFacts {
  readonly result: SimulationResult;
  readonly verdict: string;
  readonly verified: VerifyResult | null;
  /** RFC 3339. */
  readonly at: string;
}

/** The page. Everything in it that came from outside is escaped. */
export function htmlReport({ result, verdict, verified, at }: ReportFacts): string {
  const { plan, seconds, counts } = result;
  const charts = [
    {
      title: 'Messages a second',
      unit: '',
      series: [
        ['sent', seconds.map((s) => s.counts.sent)],
        ['acknowledged', seconds.map((s) => s.counts.acknowledged)],
      ],
    },
    {
      title: 'Acknowledgement, milliseconds',
      unit: 'ms',
      series: [
        ['p50', seconds.map((s) => s.p50)],
        ['p99', seconds.map((s) => s.p99)],
      ],
    },
    { title: 'Open connections', unit: '', series: [['open', seconds.map((s) => s.open)]] },
    {
      title: 'Connects, refusals and errors a second',
      unit: '',
      series: [
        ['connected', seconds.map((s) => s.counts.connected)],
        ['refused', seconds.map((s) => s.counts.refused)],
        ['errors', seconds.map((s) => s.counts.errors + s.counts.dropped)],
      ],
    },
  ];
  const data = { x: seconds.map((s) => s.at), charts };
  const rows = timings.map((name) => {
    const { count, p50, p95, p99, p999, max } = result.timings[name];
    return `<tr><th>${titles[name]}</th><td>${count}</td>${[p50, p95, p99, p999, max].map((value) => `<td>${ms(value)}</td>`).join('')}</tr>`;
  });
  const facts: [string, unknown][] = [
    ['Devices', plan.devices],
    ['Protocol', `${plan.protocol}, QoS ${plan.qos}, ${plan.payloadBytes} bytes`],
    [
      'Asked for',
      `${plan.connectRate} connects a second, ${plan.rate} messages a second, ${plan.durationMs / 1000} s after the last connect`,
    ],
    ['Connected', `${counts.connected} (${counts.refused} refused, ${counts.dropped} dropped)`],
    [
      'Messages',
      `${counts.sent} sent, ${counts.acknowledged} acknowledged, ${counts.missed} not sent for want of a connection`,
    ],
    ['Errors', counts.errors],
    [
      'Verified',
      verified
        ? `${verified.acknowledged} acknowledged, ${verified.lost.length} lost, ${verified.doubled} doubled`
        : 'not asked for',
    ],
    ['Generator', `${Math.round(result.busy * 100)} % busy`],
    ['Run', `${plan.run}, ${at}, seed ${plan.seed}`],
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Fleetgate simulation</title><style>${asset('uPlot.min.css')}
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 15%, transparent); }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: 0; } h2 { font-size: 1rem; margin: 2rem 0 .5rem; } .verdict { font-size: 1.1rem; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); font-weight: normal; }
td { font-variant-numeric: tabular-nums; } thead th { opacity: .6; } .uplot { margin: .5rem 0; } .u-legend { text-align: left; }
</style></head><body>
<h1>Fleetgate simulation</h1><p class="verdict">${escapeHtml(verdict)}</p>
<table>${facts.map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`).join('')}</table>
<h2>How long it took</h2>
<table><thead><tr><th></th><th>count</th><th>p50</th><th>p95</th><th>p99</th><th>p99.9</th><th>longest</th></tr></thead>${rows.join('')}</table>
<div id="charts"></div>
<script>${asset('uPlot.iife.min.js')}</script>
<script>
const data = ${JSON.stringify(data).replaceAll('<', '\\u003c')};
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
const ink = dark ? '#ddd' : '#333', grid = dark ? '#3338' : '#ccc8', colours = ['#2f7ed8', '#e07b00', '#c0392b'];
const axis = { stroke: ink, grid: { stroke: grid }, ticks: { stroke: grid } };
for (const chart of data.charts) {
  const heading = document.createElement('h2');
  heading.textContent = chart.title;
  const place = document.getElementById('charts');
  place.append(heading);
  new uPlot({
    width: Math.min(928, document.body.clientWidth), height: 200, scales: { x: { time: false } },
    axes: [{ ...axis, values: (_, ticks) => ticks.map((tick) => tick + ' s') }, axis],
    series: [{ label: 'second' }, ...chart.series.map(([label], i) => ({ label, stroke: colours[i], width: 2 }))],
  }, [data.x, ...chart.series.map(([, values]) => values)], place);
}
document.documentElement.dataset.drawn = String(data.charts.length);
</script></body></html>
`;
}
