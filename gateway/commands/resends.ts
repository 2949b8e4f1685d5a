/**
 * Under which packet ids a kept session was sent the commands that it has not acknowledged: when it is back, they go again
 * under the same ones, marked DUP [MQTT-4.4.0-1]. In memory, and bounded: without it they go under new ones.
 */

/** Sessions of which it is remembered; beyond, the oldest is forgotten. */
export const mostResends = 10_000;

export class Resends {
  /** Packet ids by command, by client id. */
  readonly #bySession = new Map<string, ReadonlyMap<string, number>>();

  /** The connection has ended; the session is kept. */
  keep(clientId: string, ids: ReadonlyMap<string, number>): void {
    this.#bySession.delete(clientId);
    if (ids.size === 0) return;
    this.#bySession.set(clientId, ids);
    if (this.#bySession.size > mostResends)
      for (const oldest of this.#bySession.keys()) return void this.#bySession.delete(oldest);
  }

  /** What was remembered, once: of a session that begins anew it is of no use. */
  take(clientId: string): ReadonlyMap<string, number> | undefined {
    const ids = this.#bySession.get(clientId);
    this.#bySession.delete(clientId);
    return ids;
  }
}
