/** `fleetgate simulate`: plays a fleet against a gateway, shows how it goes, and says what came of it. */
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createLogUpdate } from 'log-update';
import Type, { type Static } from 'typebox';
import { systemClock, timestamp } from '#common/clock.ts';
import { loadConfiguration } from '#common/config/load.ts';
import { Count, Duration, Section, Text } from '#common/config/schema.ts';
import { Fault } from '#common/fault.ts';
import { openIdentities } from '../simulator/identities.ts';
import { type Judgement, judge, type SimulationResult, simulate, thresholdNames } from '../simulator/main.ts';
import type { Second } from '../simulator/measurements.ts';
import { type SimulationPlan, simulatedProtocols } from '../simulator/plan.ts';
import { htmlReport } from '../simulator/report.ts';
import { parseThreshold, type Threshold } from '../simulator/threshold.ts';
import { type VerifyResult, verify } from '../simulator/verify.ts';
import { asked, type NounFlags, verb } from './noun.ts';
import { facts, openOutput, paint, table } from './output.ts';
import { openProgress } from './progress.ts';
import { openRegistryApi } from './registry-api.ts';
import { registryAccess, whereabouts } from './where.ts';

/** A scenario: the flags, as a file may hold them. */
export const scenarioSchema = Section(
  {
    devices: Count(100, 'Devices of the fleet.'),
    connectRate: Count(100, 'Connects a second.'),
    rate: Count(100, 'Messages a second over the fleet.', 0),
    duration: Duration('30s', 'How long messages are sent after the last connect.'),
    payload: Count(128, 'Bytes of a message.', 0),
    qos: Type.Integer({ default: 1, minimum: 0, maximum: 2, description: 'QoS of the messages.' }),
    protocol: Type.Enum([...simulatedProtocols], { default: 'mqtt', description: 'What the devices speak.' }),
    tlsVersion: Text('', 'TLSv1.2 or TLSv1.3; empty for what is agreed on.'),
    seed: Count(1, 'Seed of every random choice.', 0),
    workers: Count(1, 'Threads that play the fleet.'),
    fleet: Text('simulated', 'Fleet that the devices are enrolled into.'),
    thresholds: Type.Array(Type.String(), {
      default: [],
      description: 'What must hold, such as connect.p99<2s.',
    }),
  },
  'A simulation.',
);
type Scenario = Static<typeof scenarioSchema>;

interface SimulateFlags extends NounFlags {
  devices?: string;
  connectRate?: string;
  rate?: string;
  duration?: string;
  payload?: string;
  qos?: string;
  protocol?: string;
  tlsVersion?: string;
  seed?: string;
  workers?: string;
  identities: string;
  threshold: string[];
  verify?: string | boolean;
  report?: string;
  out?: string;
}

const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));

function scenarioOf(file: string | undefined, flags: SimulateFlags): Scenario {
  if (file !== undefined && !existsSync(file)) throw new Fault('not-found', `There is no scenario ${file}.`);
  const scenario = loadConfiguration<Scenario>(scenarioSchema, {
    file: file === undefined ? undefined : { path: file, text: readFileSync(file, 'utf8') },
    flags: {
      devices: number(flags.devices),
      connectRate: number(flags.connectRate),
      rate: number(flags.rate),
      duration: flags.duration,
      payload: number(flags.payload),
      qos: number(flags.qos),
      protocol: flags.protocol,
      tlsVersion: flags.tlsVersion,
      seed: number(flags.seed),
      workers: number(flags.workers),
      thresholds: flags.threshold.length > 0 ? flags.threshold : undefined,
    },
  });
  return scenario;
}

export function simulateCommand(program: Command): void {
  verb(
    program.command('simulate [scenario]'),
    'simulate --devices 1000 --rate 500 --duration 30s --verify --report run.html',
  )
    .description('play a fleet against a gateway and measure it')
    .option('--mqtts <url>', 'MQTTS door of a gateway elsewhere')
    .option('--https <url>', 'HTTPS door of a gateway elsewhere')
    .option('--devices <n>', 'devices of the fleet (default 100)')
    .option('--connect-rate <n>', 'connects a second (default 100)')
    .option('--rate <n>', 'messages a second over the fleet (default 100)')
    .option('--duration <duration>', 'how long, after the last connect (default 30s)')
    .option('--payload <bytes>', 'size of a message (default 128)')
    .option('--qos <qos>', '0, 1 or 2 (default 1)')
    .option('--protocol <protocol>', 'mqtt, mqtt5, https or mixed (default mqtt)')
    .option('--tls-version <version>', 'TLSv1.2 or TLSv1.3')
    .option('--identities <dir>', 'where the devices’ keys are kept between runs', './identities')
    .option('--seed <n>', 'the same seed, the same run (default 1)')
    .option('--workers <n>', 'threads that play the fleet (default 1)')
    .option(
      '--threshold <rule>',
      'what must hold, such as "connect.p99<2s"; may be repeated',
      (rule: string, all: string[]) => [...all, rule],
      [],
    )
    .option('--verify [dir]', 'check that every acknowledged message reached the file backend')
    .option('--report <file>', 'write an HTML page with charts')
    .option('--out <dir>', 'write the figures by the second as NDJSON')
    .action(async (file: string | undefined, flags: SimulateFlags) => {
      const scenario = asked(() => scenarioOf(file, flags));
      const thresholds = asked(() => scenario.thresholds.map((text) => parseThreshold(text, thresholdNames)));
      process.exitCode = await run(scenario, thresholds, flags);
    });
}

async function run(
  scenario: Scenario,
  thresholds: readonly Threshold[],
  flags: SimulateFlags,
): Promise<number> {
  const output = openOutput(flags.json === true);
  const { mqtts, https, events } = whereabouts(flags);
  const folder = typeof flags.verify === 'string' ? flags.verify : events;
  if (!mqtts || !https)
    throw new Fault(
      'not-found',
      'No gateway is known here. Start one with "fleetgate up", name its data folder with --data, or its doors with --mqtts and --https.',
    );
  if (flags.verify && !folder)
    throw new Fault(
      'not-found',
      'There is no file backend to verify against; name its folder: --verify DIR.',
    );
  const plan = planOf(scenario, mqtts, https);

  const progress = openProgress(`enrolling ${plan.devices} devices`, plan.devices, !flags.json);
  let enrolled = 0;
  await using api = openRegistryApi(registryAccess(flags), 16);
  const { fleet } = scenario;
  const identities = await openIdentities({
    api,
    dir: flags.identities,
    fleet,
    count: plan.devices,
    onEnrolled: () => {
      enrolled += 1;
      progress.tick();
    },
  });
  if (enrolled > 0) progress.end();

  const stop = new AbortController();
  process.once('SIGINT', () => stop.abort());
  const live = openLive(flags.json === true);
  const onSecond = (second: Second) => live.show(second);
  const result = await simulate({
    plan,
    identities,
    workers: scenario.workers,
    clock: systemClock,
    onSecond,
    signal: stop.signal,
  });
  live.done();

  const verified = flags.verify && folder ? await verifyInTime(folder, result) : null;
  const judgement = judge(result, thresholds, verified);
  const { verdict, code } = verdictOf(result, judgement, verified);
  const document = {
    verdict,
    plan,
    counts: result.counts,
    timings: result.timings,
    busy: result.busy,
    verified,
    failed: judgement.failed,
    inconclusive: judgement.inconclusive,
  };
  output.answer(document, () => summaryLines(result, verified, verdict, code));
  if (flags.report) {
    writeFileSync(flags.report, htmlReport({ result, verdict, verified, at: timestamp(systemClock.now()) }));
    output.note(`The report is in ${flags.report}.`);
  }
  if (flags.out) {
    mkdirSync(flags.out, { recursive: true });
    writeFileSync(
      join(flags.out, 'seconds.ndjson'),
      result.seconds.map((second) => `${JSON.stringify(second)}\n`).join(''),
    );
    writeFileSync(join(flags.out, 'result.json'), JSON.stringify(document, null, 2));
  }
  return code;
}

function planOf(scenario: Scenario, mqtts: string, https: string): SimulationPlan {
  return {
    run: randomBytes(6).toString('hex'),
    devices: scenario.devices,
    connectRate: scenario.connectRate,
    rate: scenario.rate,
    durationMs: scenario.duration,
    payloadBytes: scenario.payload,
    qos: scenario.qos as 0 | 1 | 2,
    protocol: scenario.protocol as SimulationPlan['protocol'],
    tlsVersion: scenario.tlsVersion === '' ? null : scenario.tlsVersion,
    seed: scenario.seed,
    host: new URL(mqtts).hostname,
    mqttsPort: Number(new URL(mqtts).port),
    httpsPort: Number(new URL(https).port),
  };
}

/** What is acknowledged is durable, not delivered yet: the backend gets a while. */
async function verifyInTime(folder: string, result: SimulationResult): Promise<VerifyResult> {
  for (let attempt = 0; ; attempt++) {
    const verified = await verify(folder, result.plan.run, result.acknowledged);
    if (verified.lost.length === 0 || attempt >= 10) return verified;
    await systemClock.sleep(500);
  }
}

function verdictOf(
  result: SimulationResult,
  { failed, inconclusive }: Judgement,
  verified: VerifyResult | null,
): { verdict: string; code: number } {
  const { acknowledged, sent } = result.counts;
  if (result.interrupted) return { verdict: 'Interrupted; the figures are of what was run.', code: 130 };
  if (verified && verified.lost.length > 0)
    return { verdict: `${verified.lost.length} acknowledged messages did not arrive.`, code: 1 };
  if (failed.length > 0) {
    const broken = failed.map(({ threshold, actual }) => `${threshold} (was ${Number(actual.toFixed(2))})`);
    return { verdict: `Thresholds that did not hold: ${broken.join(', ')}.`, code: 3 };
  }
  if (inconclusive) return { verdict: `Inconclusive: ${inconclusive}.`, code: 4 };
  const checked = verified ? ', and every acknowledged one arrived' : '';
  return { verdict: `${sent} messages sent, ${acknowledged} acknowledged${checked}.`, code: 0 };
}

function openLive(json: boolean): { show(second: Second): void; done(): void } {
  if (json) return { show: () => {}, done: () => {} };
  const live = process.stderr.isTTY ? createLogUpdate(process.stderr) : null;
  return {
    show({ at, open, counts, p50, p99 }) {
      const trouble = counts.errors + counts.dropped + counts.refused;
      const line = `${String(at).padStart(4)} s  ${open} open  +${counts.connected}/s  ${counts.acknowledged} acknowledged/s  p50 ${p50.toFixed(1)} ms  p99 ${p99.toFixed(1)} ms${trouble > 0 ? `  ${trouble} in trouble` : ''}`;
      if (live) live(line);
      else process.stderr.write(`${line}\n`);
    },
    done: () => live?.done(),
  };
}

function summaryLines(
  result: SimulationResult,
  verified: VerifyResult | null,
  verdict: string,
  code: number,
): string[] {
  const { timings, counts } = result;
  const row = (name: keyof typeof timings, title: string) => {
    const { count, p50, p95, p99, p999, max } = timings[name];
    return [title, count, ...[p50, p95, p99, p999, max].map((value) => value.toFixed(1))];
  };
  return [
    ...table(
      ['MILLISECONDS', 'COUNT', 'P50', 'P95', 'P99', 'P99.9', 'MAX'],
      [
        row('tls', 'TLS'),
        row('connack', 'CONNACK'),
        row('connect', 'connect'),
        row('puback', 'acknowledgement'),
      ],
    ),
    '',
    ...facts([
      [
        'connected',
        `${counts.connected}, ${counts.refused} refused, ${counts.dropped} dropped, ${counts.errors} errors`,
      ],
      [
        'messages',
        `${counts.sent} sent, ${counts.acknowledged} acknowledged, ${counts.missed} not sent for want of a connection`,
      ],
      [
        'verified',
        verified
          ? `${verified.acknowledged} acknowledged, ${verified.lost.length} lost, ${verified.doubled} doubled`
          : 'not asked for (--verify)',
      ],
    ]),
    '',
    paint(code === 0 ? 'green' : 'yellow', verdict),
  ];
}
