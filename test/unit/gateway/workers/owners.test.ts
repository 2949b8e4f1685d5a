/** Whose a client id is: claims in one file, and letting go across workers. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Fault } from '#common/fault.ts';
import type { Session } from '../../../../gateway/sessions/session.ts';
import { Owners } from '../../../../gateway/workers/owners.ts';
import { WorkerOwnership } from '../../../../gateway/workers/worker-ownership.ts';
import { StillClock } from '../../../harness/still-clock.ts';

let dir: string;
let opened: DisposableStack;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'owners-'));
  opened = new DisposableStack();
  opened.defer(() => rmSync(dir, { recursive: true }));
});
afterEach(() => opened.dispose());

test('a claim finds the one before, and has a higher epoch whatever is proposed', () => {
  const [one, two] = [opened.use(Owners.create(dir)), opened.use(Owners.open(dir))];
  expect(one.claim('pump', 1, 100)).toEqual({ epoch: 100, former: null });
  expect(two.claim('pump', 2, 50)).toEqual({ epoch: 101, former: { worker: 1, epoch: 100 } });
  expect(one.claim('pump', 1, 200)).toEqual({ epoch: 200, former: { worker: 2, epoch: 101 } });
});

test('only the newest epoch releases; a worker that is gone owns nothing', () => {
  const owners = opened.use(Owners.create(dir));
  owners.claim('a', 1, 10);
  owners.claim('a', 2, 20);
  owners.release([['a', 10]]);
  expect(owners.size).toBe(1);
  owners.claim('b', 1, 30);
  owners.clear(2);
  expect(owners.claim('a', 1, 40).former).toBe(null);
  owners.release([
    ['a', 40],
    ['b', 30],
  ]);
  expect(owners.size).toBe(0);
});

test('a new start begins with nobody', () => {
  opened.use(Owners.create(dir)).claim('a', 1, 10);
  expect(opened.use(Owners.create(dir)).size).toBe(0);
});

/** Two workers that reach each other by calls. */
function house() {
  const clock = new StillClock(1_800_000_000_000);
  const owners = opened.use(Owners.create(dir));
  const workers = new Map<number, WorkerOwnership>();
  for (const worker of [1, 2]) {
    const displace = ({ worker: former, epoch }: { worker: number; epoch: number }, clientId: string) =>
      workers.get(former)!.displaced(clientId, epoch);
    workers.set(worker, opened.use(new WorkerOwnership({ owners, worker, displace, clock })));
  }
  return { owners, clock, one: workers.get(1)!, two: workers.get(2)! };
}

/** A session whose end the test decides. */
function session(clientId: string) {
  let close: () => void = () => {};
  const closed = new Promise<void>((resolve) => (close = resolve));
  const told: string[] = [];
  const made = {
    clientId,
    peer: { address: `10.0.0.1:${clientId.length}` },
    connectedAtMs: 5,
    lastHeardMs: 0,
    end: (fault: Fault) => {
      told.push(fault.kind);
      return closed;
    },
  } as unknown as Session;
  return { session: made, told, close, closed };
}

const isSettled = (promise: Promise<unknown>): Promise<boolean> =>
  Promise.race([promise.then(() => true), new Promise<boolean>((resolve) => setImmediate(resolve, false))]);

test('the newcomer waits until the former owner, and whom that one waits for, have let go', async () => {
  const { one, two } = house();
  const [a, b, c] = [session('pump'), session('pump'), session('pump')];
  expect(one.claim(a.session, null)).toBe(null);
  const first = two.claim(b.session, null)!;
  expect(a.told).toEqual(['taken-over']);
  // A third comes in while the second still waits for the first.
  const second = one.claim(c.session, a.closed)!;
  expect(b.told).toEqual(['taken-over']);
  b.close();
  expect(await isSettled(second)).toBe(false);
  a.close();
  expect(await isSettled(first)).toBe(true);
  expect(await isSettled(second)).toBe(true);
  expect(c.told).toEqual([]);
});

test('what is known of the device goes with the session to whoever takes it over', async () => {
  const { one, two, clock } = house();
  const [a, b] = [session('pump'), session('pump')];
  one.packs((of) => ({ memory: of.clientId }));
  await clock.move(300);
  void one.claim(a.session, null);
  const former = two.claim(b.session, null)!;
  a.close();
  expect(await former).toEqual({
    peer: { address: '10.0.0.1:4' },
    connectedAtMs: 5,
    lastHeardMs: 0,
    luggage: { memory: 'pump' },
  });
});

test('a session that came later is not meant by what was said before', async () => {
  const { one } = house();
  const [a, b] = [session('pump'), session('pump')];
  void one.claim(a.session, null);
  void one.claim(b.session, Promise.resolve());
  await one.displaced('pump', 1);
  expect(b.told).toEqual([]);
  await one.displaced('nobody', 1);
});

test('one that was displaced does not release what the newer has', async () => {
  const { one, two, owners, clock } = house();
  const [a, b] = [session('pump'), session('pump')];
  void one.claim(a.session, null);
  void two.claim(b.session, null);
  a.close();
  one.release(a.session);
  await clock.move(60);
  expect(owners.size).toBe(1);
  two.release(b.session);
  expect(owners.size).toBe(1);
  await clock.move(60);
  expect(owners.size).toBe(0);
  expect([one.size, two.size]).toEqual([0, 0]);
});
