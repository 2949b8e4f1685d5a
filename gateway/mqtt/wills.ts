/**
 * Wills leave: at once when a connection ends without a goodbye, after their delay, or after a restart when the gateway had
 * fallen before (MQTT 5, section 3.1.2.5). What is kept of them is in the store; the broker's library knows of none.
 */
import type { Clock } from '#common/clock.ts';
import type { Protocol } from '#common/contract/receipt.ts';
import type { Logger } from '#common/log.ts';
import type { Standing } from '../admission/standing-right.ts';
import type { Rights } from '../sessions/rights.ts';
import type { Intake } from '../telemetry/intake.ts';
import type { Connect } from './connect-packet.ts';
import type { Tongue } from './dialect.ts';
import type { SessionStore } from './store/session-store.ts';
import type { StoredWill } from './store/will-table.ts';
import { leaveWill } from './will.ts';
import { toWire } from './wire-properties.ts';

/** Whose Will it is, with the rights that it had last. */
export interface Departed {
  readonly clientId: string;
  readonly device: string;
  readonly rights: Rights;
  will(packet: { topic: string; payload: Buffer; qos: number }): void;
}

/** Publishes a Will as a message of its device; resolves when it is stored and routed. */
export type PublishWill = (will: StoredWill, device: string, clientId: string) => Promise<void>;

export interface WillsOptions {
  store: SessionStore;
  standing: (device: string) => Standing | undefined;
  intake: Intake;
  publish: PublishWill;
  clock: Clock;
  log: Logger;
}

export class Wills {
  readonly #options: WillsOptions;

  constructor(options: WillsOptions) {
    this.#options = options;
  }

  /** A connection has ended without a goodbye. `expiryMs` is how long its session lasts still. */
  async leave(departed: Departed, will: StoredWill, epoch: number, expiryMs: number): Promise<void> {
    const { store, publish, clock } = this.#options;
    const { clientId, device, rights } = departed;
    const { wills } = store;
    if (Math.min(will.delayMs, expiryMs) > 0) return wills.due(clientId, epoch, expiryMs, clock.now());
    if (rights.mayPublish(will.topic, will.qos, will.retain)) {
      departed.will(will);
      try {
        await publish(will, device, clientId);
      } catch {
        // The disk: it stays due, and is tried again.
        return wills.due(clientId, epoch, 0, clock.now());
      }
    }
    await wills.drop(clientId, epoch);
  }

  /** Publishes what is due, by the rights that its device has now. */
  async sweep(): Promise<void> {
    const { store, standing, intake, publish, clock, log } = this.#options;
    if (!store.wills.hasDue(clock.now())) return;
    for (const will of await store.wills.claim(clock.now())) {
      const { topic, qos, retain, device, clientId, protocol } = will;
      const right = standing(device);
      try {
        if (right?.rights.mayPublish(topic, qos, retain)) {
          const session = { entry: right.entry, protocol: protocol as Protocol };
          leaveWill(will, contentTypeOf(will), session, intake);
          await publish(will, device, clientId);
        }
        await store.wills.published(will.id);
      } catch (thrown) {
        // It stays claimed, and is due again a while later.
        log.warn({ error: (thrown as Error).message }, 'A Will could not be published; it is tried again.');
      }
    }
  }
}

const contentTypeOf = ({ properties }: StoredWill): string =>
  typeof properties?.contentType === 'string' ? properties.contentType : '';

/** The Will of a CONNECT as it is kept, under the topic of ours that it means: its device may speak otherwise. */
export function storedWill(
  { will }: Connect,
  expiryMs: number,
  protocol: Protocol,
  tongue: Tongue | null | undefined,
): StoredWill | null {
  if (will === null) return null;
  const { payload, qos, retain, properties } = will;
  const topic = tongue?.meaningOf(will.topic)?.topic ?? will.topic;
  const delayMs = Math.min((properties.willDelay ?? 0) * 1000, expiryMs); // section 3.1.3.2.2
  return { topic, payload, qos, retain, properties: { ...toWire(properties) }, delayMs, protocol };
}
