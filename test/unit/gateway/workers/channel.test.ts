/** What two processes say to each other: calls and words, faults and ends, in one message a turn. */
import { EventEmitter } from 'node:events';
import { expect, test } from 'vitest';
import { Fault } from '#common/fault.ts';
import { silentLog } from '#common/log.ts';
import { Channel, type ChannelOptions, type Port } from '../../../../gateway/workers/channel.ts';
import { StillClock } from '../../../harness/still-clock.ts';

class End extends EventEmitter implements Port {
  other: End | null = null;
  connected = true;
  messages = 0;
  /** What is sent is not taken. */
  stuck = false;

  send(
    message: unknown,
    _handle: undefined,
    _options: undefined,
    sent: (error: Error | null) => void,
  ): boolean {
    this.messages += 1;
    if (this.stuck) return false;
    const copy = structuredClone(message);
    setImmediate(() => {
      sent(null);
      this.other?.emit('message', copy);
    });
    return true;
  }
}

function pair(options: Partial<ChannelOptions> = {}) {
  const [a, b] = [new End(), new End()];
  [a.other, b.other] = [b, a];
  const clock = new StillClock(1_800_000_000_000);
  const made = { clock, log: silentLog, ...options };
  return { a, b, clock, here: new Channel(a, made), there: new Channel(b, made) };
}

test('a call is answered, bytes as bytes', async () => {
  const { here, there } = pair();
  there.handle('double', (bytes: Uint8Array) => Buffer.concat([bytes, bytes]));
  expect(Buffer.from(await here.call<Uint8Array>('double', [Buffer.from('ab')]))).toEqual(
    Buffer.from('abab'),
  );
});

test('a Fault arrives as it was; any other error says nothing but that it is internal', async () => {
  const { here, there } = pair();
  there.handle('refuse', () => {
    throw new Fault('rate-limited', 'Later.', { retryAfterMs: 7, fields: { at: 'noon' } });
  });
  there.handle('break', async () => {
    throw new Error('a secret');
  });
  await expect(here.call('refuse', [])).rejects.toMatchObject({
    kind: 'rate-limited',
    message: 'Later.',
    retryAfterMs: 7,
    fields: { at: 'noon' },
  });
  const broken = await here.call('break', []).catch((thrown) => thrown);
  expect(broken).toBeInstanceOf(Fault);
  expect(broken).toMatchObject({ kind: 'internal', message: expect.not.stringContaining('secret') });
  await expect(here.call('nobody', [])).rejects.toMatchObject({ kind: 'not-found' });
});

test('what is said in one turn is one message, in order', async () => {
  const { a, here, there } = pair();
  const heard: number[] = [];
  there.handle('word', (n: number) => {
    heard.push(n);
  });
  there.handle('last', () => [...heard]);
  for (let n = 0; n < 100; n++) here.tell('word', n);
  expect(await here.call('last', [])).toEqual(Array.from({ length: 100 }, (_, n) => n));
  expect(a.messages).toBe(1);
});

test('a call that is not answered in time ends, and its late answer is dropped', async () => {
  const { here, there, clock } = pair({ timeoutMs: 1_000 });
  let answer: (value: string) => void = () => {};
  there.handle('slow', () => new Promise<string>((resolve) => (answer = resolve)));
  there.handle('quick', () => 'quick');
  const slow = here.call('slow', []).catch((thrown) => thrown);
  await here.call('quick', []);
  await clock.move(1_000);
  expect(await slow).toMatchObject({ kind: 'timeout' });
  answer('late');
  expect(await here.call('quick', [])).toBe('quick');
});

test('when the other process is gone, whoever waits is told, and whoever asks later too', async () => {
  const { a, here, there } = pair();
  there.handle('never', () => new Promise(() => {}));
  const waiting = here.call('never', []).catch((thrown) => thrown);
  let closed = 0;
  here.onClosed(() => (closed += 1));
  a.emit('disconnect');
  expect(await waiting).toMatchObject({ kind: 'unavailable' });
  await expect(here.call('never', [])).rejects.toMatchObject({ kind: 'unavailable' });
  here.tell('nothing');
  here.close();
  expect(closed).toBe(1);
});

test('no more calls wait than may, and a peer that takes nothing is seen to be congested', async () => {
  const { a, here, there } = pair({ mostPending: 2, mostUnsent: 3 });
  there.handle('never', () => new Promise(() => {}));
  a.stuck = true;
  void here.call('never', []).catch(() => {});
  void here.call('never', []).catch(() => {});
  await expect(here.call('never', [])).rejects.toMatchObject({ kind: 'unavailable' });
  expect(here.congested).toBe(false);
  here.tell('word');
  expect(here.congested).toBe(true);
});
