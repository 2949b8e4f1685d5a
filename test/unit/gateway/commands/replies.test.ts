/** Replies under way, and what is remembered for resends, are bounded. */
import { expect, test } from 'vitest';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { DeviceId } from '#common/identity.ts';
import { Replies } from '../../../../gateway/commands/replies.ts';
import { mostResends, Resends } from '../../../../gateway/commands/resends.ts';

const reply = { id: 'a', device: 'pump' as DeviceId, status: 200, contentType: '', payload: '' };

test('mqtt.maxReplies are under way, and no more, until one is answered', async () => {
  const answers: (() => void)[] = [];
  const ask = (() => new Promise<null>((resolve) => answers.push(() => resolve(null)))) as unknown;
  const replies = new Replies({ ask: ask as AskRegistry, most: 2 });
  const first = replies.send(reply);
  const second = replies.send(reply);
  await expect(replies.send(reply)).rejects.toMatchObject({ kind: 'unavailable' });
  answers[0]!();
  await first;
  const third = replies.send(reply);
  for (const answer of answers) answer();
  await Promise.all([second, third]);
});

test('of the sessions with something to resend the oldest is forgotten', () => {
  const resends = new Resends();
  for (let n = 0; n <= mostResends; n++) resends.keep(`s${n}`, new Map([['a', n]]));
  expect(resends.take('s0')).toBeUndefined();
  expect(resends.take('s1')).toEqual(new Map([['a', 1]]));
  expect(resends.take('s1')).toBeUndefined();
});
