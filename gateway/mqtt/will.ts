/** The Will of a CONNECT: checked when it is left, since nobody is there to be refused when it leaves. */
import { Fault } from '#common/fault.ts';
import type { Rights } from '../sessions/rights.ts';
import { isCommandTopic } from './command-topic.ts';
import type { Connect } from './connect-packet.ts';
import { isRenewalTopic } from './topic.ts';

/** Faults `will-not-allowed`. */
export function judgeWill(
  will: Connect['will'],
  device: string,
  rights: Rights,
  { maxWillSize }: { maxWillSize: number },
): void {
  if (will === null) return;
  if (will.payload.length > maxWillSize)
    throw new Fault('will-not-allowed', `A Will has at most ${maxWillSize} bytes here.`);
  const isOurs = isRenewalTopic(will.topic, device) || isCommandTopic(will.topic);
  if (isOurs || !rights.mayPublish(will.topic, will.qos, will.retain))
    throw new Fault('will-not-allowed', `This device may not leave a Will on ${will.topic}.`);
}
