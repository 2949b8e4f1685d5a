/** Runs a simulation: slices over threads, gathers what they measure, judges it. It constructs; the command shows. */
import { Worker } from 'node:worker_threads';
import type { Clock } from '#common/clock.ts';
import {
  type Count,
  counts,
  Measurements,
  type Packed,
  type Second,
  type Summary,
  type Timing,
  timings,
} from './measurements.ts';
import type { Identity, SimulationPlan } from './plan.ts';
import { holds, type Threshold } from './threshold.ts';
import type { VerifyResult } from './verify.ts';
import type { FromWorker } from './worker.ts';

export interface SimulationOptions {
  plan: SimulationPlan;
  identities: readonly Identity[];
  workers: number;
  clock: Clock;
  /** Once a second. */
  onSecond: (second: Second, totals: Record<Count, number>) => void;
  /** Ends the run early, with a summary all the same. */
  signal: AbortSignal;
}

export interface SimulationResult {
  readonly plan: SimulationPlan;
  readonly seconds: readonly Second[];
  readonly timings: Record<Timing, Summary>;
  readonly counts: Record<Count, number>;
  /** The busiest thread's share of time at work, 0 to 1. */
  readonly busy: number;
  readonly interrupted: boolean;
  readonly acknowledged: ReadonlyMap<string, readonly number[]>;
}

export interface Judgement {
  readonly failed: readonly { readonly threshold: string; readonly actual: number }[];
  /** Why the figures cannot be trusted: the generator itself was the bottleneck. */
  readonly inconclusive: string | null;
}

/** A generator that is busier, or later with its own messages, measures itself. */
const limits = { busy: 0.95, latenessMs: 200 };

export async function simulate({
  plan,
  identities,
  workers,
  clock,
  onSecond,
  signal,
}: SimulationOptions): Promise<SimulationResult> {
  const all = new Measurements();
  const seconds: Second[] = [];
  const acknowledged = new Map<string, readonly number[]>();
  const startMs = clock.elapsed();
  let busy = 0;
  let gathered: Packed[] = [];
  const open = new Array<number>(workers).fill(0);

  const endSecond = () => {
    if (gathered.length === 0) return;
    const one = new Measurements();
    for (const packed of gathered) {
      one.add(packed);
      all.add(packed);
    }
    gathered = [];
    const { p50, p99 } = one.summary('puback');
    const at = Math.round((clock.elapsed() - startMs) / 1000);
    const second: Second = {
      at,
      open: open.reduce((sum, n) => sum + n, 0),
      counts: { ...one.totals },
      p50,
      p99,
    };
    seconds.push(second);
    onSecond(second, all.totals);
  };

  const threads = Array.from({ length: workers }, (_, worker) => {
    const thread = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: { plan, identities, worker, workers },
    });
    signal.addEventListener('abort', () => thread.postMessage('stop'));
    return new Promise<void>((resolve, reject) => {
      thread.on('error', reject);
      thread.on('message', (message: FromWorker) => {
        const packed = 'second' in message ? message.second : message.done.last;
        gathered.push(packed);
        open[worker] = packed.open;
        if ('second' in message) {
          if (gathered.length >= workers) endSecond();
          return;
        }
        busy = Math.max(busy, message.done.busy);
        for (const [device, numbers] of message.done.acknowledged) acknowledged.set(device, numbers);
        resolve();
      });
    });
  });
  await Promise.all(threads);
  endSecond();
  return {
    plan,
    seconds,
    timings: Object.fromEntries(timings.map((name) => [name, all.summary(name)])) as Record<Timing, Summary>,
    counts: { ...all.totals },
    busy,
    interrupted: signal.aborted,
    acknowledged,
  };
}

/** Everything a threshold can be about. */
export const thresholdNames: readonly string[] = [
  ...timings.flatMap((name) => ['mean', 'p50', 'p95', 'p99', 'p999', 'max'].map((stat) => `${name}.${stat}`)),
  ...counts,
  'lost',
];

export function judge(
  result: SimulationResult,
  thresholds: readonly Threshold[],
  verified: VerifyResult | null,
): Judgement {
  const actualOf = (name: string): number => {
    if (name === 'lost') return verified?.lost.length ?? Number.NaN;
    const [timing = '', stat] = name.split('.');
    return stat === undefined
      ? result.counts[name as Count]
      : result.timings[timing as Timing][stat as keyof Summary];
  };
  const failed = thresholds.flatMap((threshold) => {
    const actual = actualOf(threshold.name);
    return holds(threshold, actual) ? [] : [{ threshold: threshold.text, actual }];
  });
  const { lateness } = result.timings;
  const inconclusive =
    result.busy > limits.busy
      ? `the generator was busy ${Math.round(result.busy * 100)} % of the time; give it --workers or less to do`
      : lateness.p99 > limits.latenessMs
        ? `the generator sent its messages late (p99 ${Math.round(lateness.p99)} ms); give it --workers or less to do`
        : null;
  return { failed, inconclusive };
}
