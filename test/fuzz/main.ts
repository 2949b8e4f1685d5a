/** `npm run fuzz -- [--seconds N] [--seed N] [target…]`: every target in turn for so long; exit 1 with what broke a promise. */
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import { systemClock } from '#common/clock.ts';
import { aloneTargets } from './alone.ts';
import { FuzzedHouse, liveNames, liveTargets } from './live.ts';
import type { FuzzTarget } from './target.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string' },
    /** Of a run that failed: goes straight there. */
    path: { type: 'string' },
  },
});
const seed = Number(values.seed ?? systemClock.now() % 2 ** 31);
const totalMs = Number(values.seconds) * 1000;
/** A target runs in lots, each with a seed of its own, so that one can say where it is. */
const lotMs = 5000;

async function run({ name, property }: FuzzTarget, forMs: number): Promise<boolean> {
  const until = systemClock.elapsed() + forMs;
  let runs = 0;
  for (let lot = 0; lot === 0 || systemClock.elapsed() < until; lot++) {
    const left = Math.max(1, Math.min(lotMs, until - systemClock.elapsed()));
    const details = await fc.check(property(), {
      seed: seed + lot,
      numRuns: Number.MAX_SAFE_INTEGER,
      interruptAfterTimeLimit: left,
      ...(values.path !== undefined && { path: values.path, numRuns: 1 }),
    });
    runs += details.numRuns;
    // A lot that was over before its first run is none that failed.
    if (details.failed && details.counterexample !== null) {
      console.error(`\n${name}: a promise is broken after ${runs} runs\n${fc.defaultReportMessage(details)}`);
      console.error(
        `\nAgain: npm run fuzz -- ${name} --seed ${seed + lot} --path ${details.counterexamplePath}`,
      );
      return false;
    }
    process.stdout.write(`${name}: ${runs} runs, seed ${seed + lot}\n`);
    if (values.path !== undefined) return true;
  }
  if (runs > 0) return true;
  console.error(`${name}: not one run came to an end`);
  return false;
}

const wanted = ({ name }: FuzzTarget) => positionals.length === 0 || positionals.includes(name);
const alone = aloneTargets.filter(wanted);
const liveCount =
  positionals.length === 0 ? liveNames.length : liveNames.filter((name) => positionals.includes(name)).length;
const eachMs = totalMs / Math.max(1, alone.length + liveCount);

async function all(): Promise<boolean> {
  if (alone.length + liveCount === 0)
    throw new Error(
      `There is no such target; there are ${[...aloneTargets.map(({ name }) => name), ...liveNames].join(', ')}.`,
    );
  for (const each of alone) if (!(await run(each, eachMs))) return false;
  if (liveCount === 0) return true;
  await using house = await FuzzedHouse.open();
  for (const each of liveTargets(house).filter(wanted)) if (!(await run(each, eachMs))) return false;
  return true;
}

process.stdout.write(`seed ${seed}, ${values.seconds} s\n`);
if (!(await all())) process.exitCode = 1;
