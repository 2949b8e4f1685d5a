/** Brokers beside each other: who is told what, and what is carried to whom. */
import { expect, test } from 'vitest';
import { Listeners } from '../../../../gateway/mqtt/listeners.ts';
import {
  type CarriedPacket,
  type Emitter,
  type Interests,
  kindOf,
  mostKinds,
  type NeighbourEars,
  type NeighbourLine,
  Neighbours,
} from '../../../../gateway/mqtt/neighbours.ts';

function broker() {
  const emitted: CarriedPacket[] = [];
  const mq: Emitter = {
    on: (_topic, _listener, done) => done?.(),
    removeListener: (_topic, _listener, done) => done?.(),
    emit: (packet) => emitted.push(packet),
  };
  const told: Interests[] = [];
  const carried: { to: readonly number[]; packet: CarriedPacket }[] = [];
  let ears!: NeighbourEars;
  let known: () => void = () => {};
  const state = { room: true, missed: 0 };
  const line: NeighbourLine = {
    join: (others) => {
      ears = others;
    },
    listening: (interests) => {
      told.push(interests);
      return new Promise((resolve) => (known = resolve));
    },
    carry: (to, packet) => {
      if (state.room) carried.push({ to, packet });
      return state.room;
    },
  };
  const listeners = new Listeners();
  new Neighbours(mq, listeners, line, () => (state.missed += 1));
  return { mq, listeners, told, carried, emitted, ears, state, known: () => known() };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const listener = {};
const message = (topic: string): CarriedPacket => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from('x'),
  qos: 1,
  retain: false,
  dup: false,
  brokerId: 'a',
  brokerCounter: 7,
});

test('a thousand devices that listen to their own topics are one kind', async () => {
  const { mq, told, known } = broker();
  for (let n = 0; n < 1_000; n++) mq.on(`devices/pump-${n}/commands/#`, listener);
  await turn();
  expect(told).toEqual([{ lane: [], other: ['devices/+/commands/#'], shares: [] }]);
  known();
  // One less is no news; the last is.
  mq.removeListener('devices/pump-0/commands/#', listener);
  await turn();
  expect(told).toHaveLength(1);
  for (let n = 1; n < 1_000; n++) mq.removeListener(`devices/pump-${n}/commands/#`, listener);
  await turn();
  expect(told.at(-1)).toEqual({ lane: [], other: [], shares: [] });
});

test('a subscription is in force when the neighbours know, not before', async () => {
  const { mq, known } = broker();
  let done = 0;
  mq.on('plant/alarms', listener, () => (done += 1));
  await turn();
  expect(done).toBe(0);
  // A second of the same kind waits for the same news.
  mq.on('plant/alarms', listener, () => (done += 1));
  await turn();
  expect(done).toBe(0);
  known();
  await turn();
  expect(done).toBe(2);
  mq.on('plant/alarms', listener, () => (done += 1));
  expect(done).toBe(3);
});

test('listeners of the lane are told one by one, but for what the store keeps', async () => {
  const { mq, listeners, told } = broker();
  listeners.add('dashboard', 'devices/+/telemetry/#');
  listeners.add('twin', 'devices/pump-7/events');
  listeners.replace('\0kept/away', ['devices/pump-8/events']);
  mq.on('devices/+/telemetry/#', listener);
  await turn();
  expect(told.at(-1)).toMatchObject({ lane: ['devices/+/telemetry/#', 'devices/pump-7/events'], other: [] });
});

test('more kinds than are told one by one are told as all', async () => {
  const { mq, told, listeners } = broker();
  listeners.add('dashboard', 'devices/+/telemetry/#');
  for (let n = 0; n <= mostKinds; n++) mq.on(`plant/${n}`, listener);
  await turn();
  expect(told.at(-1)).toMatchObject({ lane: ['devices/+/telemetry/#'], other: ['#'] });
});

test('a message is carried to those who listen, as it was published, and to nobody else', () => {
  const { mq, carried, emitted, ears } = broker();
  ears.listens(1, { lane: ['devices/+/telemetry/#'], other: ['plant/+'], shares: [] });
  ears.listens(3, { lane: [], other: ['#'], shares: [] });
  mq.emit(message('plant/alarms'));
  mq.emit(message('devices/pump/telemetry/fast'));
  mq.emit(message('devices/pump/state'));
  expect(carried.map(({ to, packet }) => [packet.topic, to])).toEqual([
    ['plant/alarms', [1, 3]],
    // Who listens to the lane has said so one by one: `#` of others is no listener of it.
    ['devices/pump/telemetry/fast', [1]],
    ['devices/pump/state', [3]],
  ]);
  expect(carried[0]!.packet).toEqual(message('plant/alarms'));
  expect(emitted).toHaveLength(3);
});

test('what is heard from a neighbour is not carried on; a neighbour that is gone is told nothing', () => {
  const { mq, carried, emitted, ears, listeners } = broker();
  ears.listens(1, { lane: ['devices/+/events'], other: ['#'], shares: [] });
  ears.hear(message('plant/alarms'));
  expect(carried).toEqual([]);
  expect(emitted).toHaveLength(1);
  // Its listeners are the lane's as well, until it is gone.
  expect(listeners.wants('devices/pump/events')).toBe(true);
  ears.gone(1);
  expect(listeners.wants('devices/pump/events')).toBe(false);
  mq.emit(message('plant/alarms'));
  expect(carried).toEqual([]);
});

test('of a share each message has one server: here when a member is here, else a neighbour, in turn', () => {
  const { mq, carried, emitted, ears } = broker();
  const [jobs, more] = ['$share/crew/plant/jobs', '$share/more/plant/+'];
  ears.listens(1, { lane: [], other: [], shares: [jobs!, more!] });
  ears.listens(2, { lane: [], other: ['plant/jobs'], shares: [jobs!] });
  for (let n = 0; n < 2; n++) mq.emit(message('plant/jobs'));
  const servers = carried.flatMap(({ to, packet }) => (packet.shares ?? []).map((name) => [name, to[0]]));
  expect(servers.filter(([name]) => name === more)).toEqual([
    [more, 1],
    [more, 1],
  ]);
  expect(servers.filter(([name]) => name === jobs)).toHaveLength(2);
  // Neighbour 2 has a listener of its own, and hears each of them once, whoever serves the share.
  expect(carried.filter(({ to }) => to.includes(2))).toHaveLength(2);
  // Nobody here serves what a neighbour does.
  expect(emitted.map(({ sharesElsewhere }) => [...sharesElsewhere!].sort())).toEqual([
    [jobs, more],
    [jobs, more],
  ]);
  mq.on(jobs!, listener);
  mq.emit(message('plant/jobs'));
  expect(emitted.at(-1)!.sharesElsewhere).toEqual([more]);
  expect(carried.slice(-2).map(({ to, packet }) => [to, packet.shares])).toEqual([
    [[1], [more]],
    [[2], undefined],
  ]);
  // What is heard serves what it was sent for.
  ears.hear({ ...message('plant/jobs'), shares: [jobs!] });
  ears.hear(message('plant/jobs'));
  expect(emitted.slice(-2).map(({ shares }) => shares)).toEqual([[jobs], []]);
});

test('what the broker says to itself stays; what finds no room is counted', () => {
  const { mq, carried, ears, state } = broker();
  ears.listens(1, { lane: [], other: ['#', '$SYS/#'], shares: [] });
  mq.emit(message('$SYS/a/new/clients'));
  expect(carried).toEqual([]);
  state.room = false;
  mq.emit(message('plant/alarms'));
  expect(state.missed).toBe(1);
});

test.each([
  ['devices/pump-1/commands/#', 'devices/+/commands/#'],
  ['plant/+/state', 'plant/+/state'],
  ['devices', 'devices'],
  ['#', '#'],
])('%s is of the kind %s', (filter, kind) => {
  expect(kindOf(filter)).toBe(kind);
});
