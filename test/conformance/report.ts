/** Writes docs/conformance.md from a run against both servers, and names what is not as expected: `node test/conformance/report.ts`. */
import { writeFile } from 'node:fs/promises';
import { expected } from './expected.ts';
import { startFleetgate, startMosquitto } from './peers.ts';
import { runCases } from './run.ts';
import type { Peer } from './scene.ts';
import { keyOf } from './statement.ts';
import { countOf, pageOf, type Word } from './table.ts';

const words = { passed: 'yes', failed: 'no', 'not applicable': 'n/a' } as const;

async function wordsOf(start: () => Promise<Peer>): Promise<Map<string, Word>> {
  await using peer = await start();
  const finished = await runCases(peer);
  const known = new Map(
    expected.filter((each) => each.peer === peer.name).map((each) => [keyOf(each), each]),
  );
  const found = new Map<string, Word>();
  for (const [key, { outcome }] of finished) {
    found.set(key, words[outcome.result]);
    if (outcome.result === (known.get(key)?.result ?? 'passed')) continue;
    const said = outcome.result === 'failed' ? `: ${outcome.error.message}` : '';
    console.log(`${peer.name} ${key} ${outcome.result}, which expected.ts does not say${said}`);
  }
  console.log(`${peer.name}: ${countOf(found.values())}`);
  return found;
}

const mosquitto = await wordsOf(startMosquitto);
const fleetgate = await wordsOf(startFleetgate);
await writeFile(new URL('../../docs/conformance.md', import.meta.url), pageOf(fleetgate, mosquitto));
