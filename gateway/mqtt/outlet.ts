/** What is sent within one turn goes in one write: a record of TLS and a system call for all of it. */

/** So many bytes are written at once. */
const enough = 16 * 1024;

export class Outlet {
  readonly #write: (bytes: Buffer) => void;
  #waiting: Buffer[] = [];
  #bytes = 0;

  constructor(write: (bytes: Buffer) => void) {
    this.#write = write;
  }

  send(bytes: Buffer): void {
    if (this.#bytes === 0) queueMicrotask(() => this.#flush());
    this.#waiting.push(bytes);
    this.#bytes += bytes.length;
    if (this.#bytes >= enough) this.#flush();
  }

  #flush(): void {
    if (this.#bytes === 0) return;
    const bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting, this.#bytes);
    this.#waiting = [];
    this.#bytes = 0;
    this.#write(bytes);
  }
}
