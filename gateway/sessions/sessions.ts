/** Who is connected: every live session, found by certificate, device or client id. One Map entry each in three indexes. */
import type { Protocol } from '#common/contract/receipt.ts';
import { protocols } from '#common/contract/receipt.ts';
import type { Metrics } from '#common/metrics.ts';
import type { Session } from './session.ts';

/** A session alone, or several in a Set: most devices have one. */
type Held = Session | Set<Session>;

export class Sessions {
  readonly #byClient = new Map<string, Session>();
  readonly #byDevice = new Map<string, Held>();
  readonly #byCertificate = new Map<string, Held>();
  readonly #counts: Record<Protocol, number>;

  constructor() {
    this.#counts = Object.fromEntries(protocols.map((protocol) => [protocol, 0])) as Record<Protocol, number>;
  }

  /** Brings the gauge up to date: set when it is read, so that a connect costs no metric. */
  report(metrics: Metrics): void {
    for (const protocol of protocols) metrics.connections.set({ protocol }, this.#counts[protocol]);
  }

  add(session: Session): void {
    if (session.protocol !== 'https') this.#byClient.set(session.clientId, session);
    hold(this.#byDevice, session.entry.device, session);
    hold(this.#byCertificate, session.entry.fingerprint, session);
    this.#counts[session.protocol] += 1;
  }

  /** Harmless for one that is not in. */
  remove(session: Session): void {
    if (!release(this.#byCertificate, session.entry.fingerprint, session)) return;
    release(this.#byDevice, session.entry.device, session);
    if (this.#byClient.get(session.clientId) === session) this.#byClient.delete(session.clientId);
    this.#counts[session.protocol] -= 1;
  }

  /** The MQTT session of a client id. */
  ofClient(clientId: string): Session | undefined {
    return this.#byClient.get(clientId);
  }

  ofDevice(device: string): Session[] {
    return listOf(this.#byDevice.get(device));
  }

  ofCertificate(fingerprint: string): Session[] {
    return listOf(this.#byCertificate.get(fingerprint));
  }

  *all(): Generator<Session> {
    for (const held of this.#byCertificate.values()) yield* listOf(held);
  }

  get size(): number {
    return protocols.reduce((sum, protocol) => sum + this.#counts[protocol], 0);
  }
}

const listOf = (held: Held | undefined): Session[] =>
  held === undefined ? [] : held instanceof Set ? [...held] : [held];

function hold(index: Map<string, Held>, key: string, session: Session): void {
  const held = index.get(key);
  if (held === undefined) index.set(key, session);
  else if (held instanceof Set) held.add(session);
  else index.set(key, new Set([held, session]));
}

/** Whether it was held. */
function release(index: Map<string, Held>, key: string, session: Session): boolean {
  const held = index.get(key);
  if (held === session) return index.delete(key);
  if (!(held instanceof Set) || !held.delete(session)) return false;
  if (held.size === 0) index.delete(key);
  return true;
}
