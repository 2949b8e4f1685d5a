/** The Will of a CONNECT: checked when it is left, since nobody is there to be refused when it leaves. */
import { Fault } from '#common/fault.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Intake, Origin } from '../telemetry/intake.ts';
import type { Connect } from './connect-packet.ts';
import { laneOf } from './lane.ts';
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
  if (!rights.mayPublish(will.topic, will.qos, will.retain) || isRenewalTopic(will.topic, device))
    throw new Fault('will-not-allowed', `This device may not leave a Will on ${will.topic}.`);
}

/** A Will that leaves. */
export interface LeftWill {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
}

/** One on the lane becomes an event; nobody waits for it. */
export function takeWill({ topic, payload, qos }: LeftWill, origin: Origin, intake: Intake): void {
  const lane = laneOf(topic, origin.device);
  if (!lane) return;
  if (intake.full && qos === 0) return intake.dropped();
  intake.accept(origin, lane.class, lane.channel, '', payload, null, 0);
}
