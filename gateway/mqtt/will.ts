/** The Will of a CONNECT: checked when it is left, since nobody is there to be refused when it leaves. */
import { Fault } from '#common/fault.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Session } from '../sessions/session.ts';
import type { Intake } from '../telemetry/intake.ts';
import { isCommandTopic } from './command-topic.ts';
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
  const isOurs = isRenewalTopic(will.topic, device) || isCommandTopic(will.topic);
  if (isOurs || !rights.mayPublish(will.topic, will.qos, will.retain))
    throw new Fault('will-not-allowed', `This device may not leave a Will on ${will.topic}.`);
}

/** A Will that is published goes down the lane when its topic is the lane's, like anything else that the device says there. */
export function leaveWill(
  { topic, payload, qos }: { topic: string; payload: Buffer; qos: number },
  contentType: string,
  { entry: { fleet, device }, protocol }: Pick<Session, 'entry' | 'protocol'>,
  intake: Intake,
): void {
  const lane = laneOf(topic, device);
  if (!lane) return;
  if (intake.full && qos === 0) return intake.dropped();
  intake.accept(
    intake.origin(fleet, device, protocol),
    lane.class,
    lane.channel,
    contentType,
    payload,
    null,
    0,
  );
}
