/**
 * What of a message reaches one client of the broker, and when: once, in order, and after what was queued for it while it
 * was away. A stored session's messages of QoS 1 and 2 are in its queue before anybody is told to deliver them, so one that
 * comes too early is left there.
 */

/** What aedes hands to a client: its own number on it, or none when it was retained. */
export interface Delivered {
  readonly brokerId?: string | null;
  readonly brokerCounter?: number;
  readonly qos: number;
}

export class Delivery {
  /** The queue is being sent: what comes meanwhile comes after it. */
  draining = true;
  /** A subscription of QoS 0 is being served. */
  atMostOnce = false;
  #broker: string | null = null;
  #counter = 0;
  #handed = 0;
  #settled: (() => void) | null = null;

  /**
   * Whether a message is for now, in the queue and for later, or was seen a moment ago: a client whose filters overlap is
   * told of one message several times in a row. aedes compares numbers by size, and would lose what overtakes another.
   */
  judge({ brokerId, brokerCounter = 0, qos }: Delivered, stored: boolean): 'now' | 'later' | 'twice' {
    if (!brokerId) return 'now';
    if (brokerCounter === this.#counter && brokerId === this.#broker) return 'twice';
    this.#counter = brokerCounter;
    this.#broker = brokerId;
    return stored && this.draining && qos > 0 && !this.atMostOnce ? 'later' : 'now';
  }

  /** One of the queue is on its way to being sent. */
  handed(): void {
    this.#handed += 1;
  }

  /** It is being sent, or will not be. */
  taken(): void {
    this.#handed -= 1;
    if (this.#handed > 0) return;
    this.#settled?.();
    this.#settled = null;
  }

  /** Resolves when all that was handed out has been taken. */
  async settled(): Promise<void> {
    if (this.#handed === 0) return;
    await new Promise<void>((resolve) => {
      this.#settled = resolve;
    });
  }
}
