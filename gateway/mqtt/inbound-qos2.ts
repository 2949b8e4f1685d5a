/**
 * The QoS 2 messages that a device has sent and not released, by packet id: part of its session (MQTT 5, section 4.1), so
 * that a connection that ends in between makes nobody hear one twice. In memory: they do not outlive the gateway.
 */

/** On its way to the disk or to the broker; or PUBREC sent and PUBREL awaited. */
const pending = 0;
const received = 1;

export class InboundQos2 {
  readonly #states = new Map<number, typeof pending | typeof received>();
  /** Those that were on their way when their connection ended: who is to send PUBREC, once they were sent again. */
  #moved: Map<number, (() => void) | null> | undefined;

  get size(): number {
    return this.#states.size;
  }

  /** The session goes on over another connection. */
  move(): this {
    for (const [packetId, state] of this.#states) {
      if (state !== pending) continue;
      this.#moved ??= new Map();
      this.#moved.set(packetId, null);
    }
    return this;
  }

  /** False when it was taken before: then it is acknowledged, now or when it is there, and not taken again [MQTT-4.3.3-2]. */
  begin(packetId: number, acknowledge: () => void): boolean {
    const state = this.#states.get(packetId);
    if (state === undefined) this.#states.set(packetId, pending);
    else if (state === received) acknowledge();
    else if (this.#moved?.has(packetId)) this.#moved.set(packetId, acknowledge);
    return state === undefined;
  }

  /** It is there. PUBREC is sent by who asks, or by who took it again. */
  received(packetId: number): void {
    this.#states.set(packetId, received);
    this.#moved?.get(packetId)?.();
    this.#moved?.delete(packetId);
  }

  /** It was answered with an error: its id is free [MQTT-4.3.3-9]. */
  refused(packetId: number): void {
    this.#states.delete(packetId);
    this.#moved?.delete(packetId);
  }

  /** PUBREL: whether it was awaited. */
  release(packetId: number): boolean {
    const known = this.#states.get(packetId) === received;
    if (known) this.#states.delete(packetId);
    return known;
  }
}

/** Sessions whose device went away in the middle of a QoS 2 message, at most: beyond, the oldest is forgotten. */
export const mostUnreleased = 10_000;

/** What was not released by sessions whose device is away. */
export class Unreleased {
  readonly #sessions = new Map<string, InboundQos2>();
  readonly #isKept: (clientId: string) => boolean;

  constructor(isKept: (clientId: string) => boolean) {
    this.#isKept = isKept;
  }

  /** The connection has ended. */
  keep(clientId: string, messages: InboundQos2 | undefined): void {
    if (!messages || messages.size === 0 || !this.#isKept(clientId)) return;
    this.#sessions.set(clientId, messages);
    if (this.#sessions.size > mostUnreleased) this.#sessions.delete(this.#sessions.keys().next().value!);
  }

  /** Another has begun: what the session has, if it is the same. */
  take(clientId: string, isPresent: boolean): InboundQos2 | undefined {
    const messages = this.#sessions.get(clientId);
    if (!messages) return undefined;
    this.#sessions.delete(clientId);
    return isPresent ? messages.move() : undefined;
  }
}
