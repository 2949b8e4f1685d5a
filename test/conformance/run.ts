/** Runs cases against a server, many at once, and says how each went. */
import { systemClock } from '#common/clock.ts';
import { cases } from './cases.ts';
import { type Peer, Scene } from './scene.ts';
import { type Case, keyOf, NotApplicable } from './statement.ts';

export type Outcome =
  | { readonly result: 'passed' }
  | { readonly result: 'failed'; readonly error: Error }
  | { readonly result: 'not applicable'; readonly why: string };

export interface Finished {
  readonly case: Case;
  readonly outcome: Outcome;
  readonly tookMs: number;
}

/** They wait more than they work. */
const atOnce = 24;

/** By `keyOf`. */
export async function runCases(peer: Peer, list: readonly Case[] = cases): Promise<Map<string, Finished>> {
  const finished = new Map<string, Finished>();
  const waiting = [...list.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      const [index, each] = next;
      const begunMs = systemClock.elapsed();
      const outcome = await outcomeOf(each, peer, `${each.version}x${index}`);
      finished.set(keyOf(each), { case: each, outcome, tookMs: Math.round(systemClock.elapsed() - begunMs) });
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return finished;
}

async function outcomeOf(each: Case, peer: Peer, name: string): Promise<Outcome> {
  using scene = new Scene(peer, each.version, name);
  try {
    await each.run(scene);
    return { result: 'passed' };
  } catch (thrown) {
    if (thrown instanceof NotApplicable) return { result: 'not applicable', why: thrown.message };
    return { result: 'failed', error: thrown as Error };
  }
}
