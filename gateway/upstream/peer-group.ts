/**
 * Several processes that are one gateway, or each a gateway of its own, to a registry. What it asks is relayed by the name
 * of the method, so that a new question needs nothing here; answers of several are put together by their shape.
 */
import type { GatewayPeer } from '#common/contract/line.ts';

/** A gateway in another process: `relay` calls the method there. */
export function peerBehind(
  name: string,
  relay: (method: string, args: readonly unknown[]) => Promise<unknown>,
): GatewayPeer {
  const methods = new Map<string, unknown>();
  return new Proxy({ name } as GatewayPeer, {
    get(self, method) {
      if (method === 'name') return self.name;
      // Nothing that JavaScript itself asks of an object is a question; least of all whether it is a promise.
      if (typeof method !== 'string' || method === 'then' || method in Object.prototype) return undefined;
      const ask = (...args: readonly unknown[]) => {
        const answer = relay(method, args);
        // Some methods tell, and nobody waits for what they return: then a process that is gone is no error.
        answer.catch(() => {});
        return answer;
      };
      const known = methods.get(method) ?? ask;
      methods.set(method, known);
      return known;
    },
  });
}

/** All of them as one: to a registry elsewhere a gateway is one, whatever it is made of. */
export class PeerGroup {
  readonly #members = new Set<GatewayPeer>();
  readonly peer: GatewayPeer;

  constructor(name: string) {
    this.peer = peerBehind(name, async (method, args) => {
      const asked = [...this.#members].map((member) => {
        // As a method of the member: what it asks about is its own.
        const askable = member as unknown as Record<string, (...args: readonly unknown[]) => unknown>;
        return askable[method]?.(...args);
      });
      return together(await Promise.all(asked));
    });
  }

  get size(): number {
    return this.#members.size;
  }

  join(member: GatewayPeer): () => void {
    this.#members.add(member);
    return () => this.#members.delete(member);
  }
}

/** Lists are one list, numbers a sum, yes is yes if any says so; of anything else the first that is something. */
export function together(answers: readonly unknown[]): unknown {
  const said = answers.filter((answer) => answer !== undefined && answer !== null);
  if (said.every(Array.isArray)) return answers.length === 0 || said.length > 0 ? said.flat() : said[0];
  if (said.every((answer) => typeof answer === 'number'))
    return said.reduce((sum: number, each) => sum + each, 0);
  if (said.every((answer) => typeof answer === 'boolean')) return said.some(Boolean);
  return said[0];
}
