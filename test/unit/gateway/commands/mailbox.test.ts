/** The mailbox of a device: in order, each to one taker, none held back for want of room, none lost with a taker. */
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { CommandOffer, CommandsAsk } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId } from '#common/identity.ts';
import { silentLog } from '#common/log.ts';
import { CommandDesk } from '../../../../gateway/commands/desk.ts';
import type { Place, Taker } from '../../../../gateway/commands/taker.ts';
import { eventually } from '../../../harness/eventually.ts';

const pump = 'pump' as DeviceId;

/** The registry's queue, and what it was asked. */
class Queue {
  commands: CommandOffer[] = [];
  away = false;
  readonly asked: string[] = [];
  #number = 0;

  put(device: DeviceId = pump, ttlMs = 60_000): CommandOffer {
    const number = ++this.#number;
    const nowMs = systemClock.now();
    const times = { createdMs: nowMs, expiresMs: nowMs + ttlMs };
    const command = { number, id: `c${number}`, device, name: 'do', payload: '', contentType: '', ...times };
    this.commands.push(command);
    return command;
  }

  readonly ask = (async (kind: string, ask: never) => {
    this.asked.push(kind);
    if (this.away) throw new Fault('unavailable', 'away');
    if (kind === 'commands') {
      const { device, after, limit } = ask as CommandsAsk;
      const all = this.commands.filter((each) => each.device === device && each.number > after);
      return { commands: all.slice(0, limit), more: all.length > limit };
    }
    if (kind === 'commands-waiting') {
      const { devices } = ask as { devices: DeviceId[] };
      return { devices: devices.filter((id) => this.commands.some(({ device }) => device === id)) };
    }
    for (const { id, deliveredMs } of (ask as { progress: { id: string; deliveredMs: number | null }[] })
      .progress)
      if (deliveredMs !== null) this.commands = this.commands.filter((each) => each.id !== id);
    return null;
  }) as unknown as AskRegistry;
}

class Hands implements Taker {
  got: string[] = [];
  held = 0;
  nothings = 0;
  place!: Place;
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  get room(): number {
    return this.#most - this.held;
  }

  give({ id }: CommandOffer): void {
    this.got.push(id);
    this.held += 1;
  }

  nothing(): void {
    this.nothings += 1;
  }

  done(id: string): void {
    this.held -= 1;
    this.place.delivered(id);
  }
}

function open() {
  const queue = new Queue();
  const desk = new CommandDesk({ ask: queue.ask, clock: systemClock, log: silentLog });
  const join = (most: number, device = pump) => {
    const hands = new Hands(most);
    hands.place = desk.join(device, hands);
    return hands;
  };
  return { queue, desk, join };
}

test('what waits comes first, then what is offered, each once', async () => {
  const { queue, desk, join } = open();
  queue.put();
  const early = queue.put();
  const hands = join(10);
  // Offered before it is known what waits: it must not overtake.
  desk.offer(early);
  await eventually(() => expect(hands.got).toEqual(['c1', 'c2']));
  desk.offer(queue.put());
  desk.offer(early);
  expect(hands.got).toEqual(['c1', 'c2', 'c3']);
});

test('no more than there is room for is asked for, and the rest when there is room', async () => {
  const { queue, desk, join } = open();
  for (let n = 0; n < 5; n++) queue.put();
  const hands = join(2);
  await eventually(() => expect(hands.got).toEqual(['c1', 'c2']));
  desk.offer(queue.put());
  hands.done('c1');
  await eventually(() => expect(hands.got).toEqual(['c1', 'c2', 'c3']));
  for (const id of ['c2', 'c3', 'c4', 'c5', 'c6']) {
    await eventually(() => expect(hands.got).toContain(id));
    hands.done(id);
  }
  expect(hands.got).toEqual(['c1', 'c2', 'c3', 'c4', 'c5', 'c6']);
  await eventually(() => expect(queue.commands).toEqual([]));
});

test('what a taker leaves behind goes to another; what was acknowledged does not', async () => {
  const { queue, join } = open();
  for (let n = 0; n < 3; n++) queue.put();
  const first = join(3);
  await eventually(() => expect(first.got).toHaveLength(3));
  const second = join(3);
  first.done('c2');
  first.place.leave();
  await eventually(() => expect(second.got).toEqual(['c1', 'c3']));
  second.place.leave();
  const third = join(3);
  await eventually(() => expect(third.got).toEqual(['c1', 'c3']));
});

test('a command goes to one of two takers', async () => {
  const { queue, desk, join } = open();
  const [a, b] = [join(1), join(1)];
  await eventually(() => expect(a.nothings + b.nothings).toBeGreaterThan(0));
  for (let n = 0; n < 3; n++) desk.offer(queue.put());
  expect([a.got, b.got]).toEqual([['c1'], ['c2']]);
});

test('one that has run out on the way is passed over', async () => {
  const { queue, join } = open();
  queue.put(pump, 0);
  queue.put();
  const hands = join(2);
  await eventually(() => expect(hands.got).toEqual(['c2']));
});

test('a thousand devices that come together are asked about together', async () => {
  const { queue, desk, join } = open();
  queue.put('d7' as DeviceId);
  const all = Array.from({ length: 1_000 }, (_, n) => join(1, `d${n}` as DeviceId));
  await eventually(() => expect(all[7]?.got).toEqual(['c1']));
  expect(queue.asked.filter((kind) => kind === 'commands-waiting')).toHaveLength(1);
  expect(queue.asked.filter((kind) => kind === 'commands')).toHaveLength(1);
  for (const { place } of all) place.leave();
  expect(desk.size).toBe(0);
});

test('a registry that is away is asked again', async () => {
  const { queue, join } = open();
  queue.put();
  queue.away = true;
  const hands = join(1);
  await eventually(() => expect(queue.asked).toContain('commands-waiting'));
  queue.away = false;
  await eventually(() => expect(hands.got).toEqual(['c1']));
});

test('offers that were missed are made good', async () => {
  const { queue, desk, join } = open();
  const hands = join(1);
  await eventually(() => expect(hands.nothings).toBe(1));
  queue.put();
  desk.offer(null);
  await eventually(() => expect(hands.got).toEqual(['c1']));
});
