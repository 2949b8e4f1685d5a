/** The ops door: metrics for Prometheus, and probes that tell the truth. Plain HTTP, for inside networks only. */
import { createServer, type Server } from 'node:http';

/** Why something is not ready, or true. */
export type Probe = () => true | string | Promise<true | string>;

export interface OpsDoorOptions {
  host: string;
  port: number;
  /** A socket that listens already: then `host` and `port` are not asked. */
  fd?: number;
  metrics: { readonly registry: { readonly contentType: string; metrics(): Promise<string> } };
  /** What must be true to be ready. */
  probes: Readonly<Record<string, Probe>>;
  /** Brings the metrics up to date before they are read. */
  refresh: () => Promise<void>;
}

export class OpsDoor implements AsyncDisposable {
  readonly port: number;
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  static async open({ host, port, fd, metrics, probes, refresh }: OpsDoorOptions): Promise<OpsDoor> {
    const answer = async (url: string): Promise<{ status: number; type: string; body: string }> => {
      if (url === '/livez') return { status: 200, type: 'application/json', body: '{"live":true}' };
      if (url === '/readyz') {
        const asked = Object.entries(probes).map(async ([name, probe]) => ({ name, reason: await probe() }));
        const reasons = (await Promise.all(asked)).filter(({ reason }) => reason !== true);
        const ready = reasons.length === 0;
        return {
          status: ready ? 200 : 503,
          type: 'application/json',
          body: JSON.stringify({ ready, reasons }),
        };
      }
      if (url === '/metrics') {
        await refresh();
        return { status: 200, type: metrics.registry.contentType, body: await metrics.registry.metrics() };
      }
      return { status: 404, type: 'application/json', body: '{"paths":["/metrics","/livez","/readyz"]}' };
    };
    const server = createServer((request, response) => {
      const get = request.method === 'GET' || request.method === 'HEAD';
      const answered = get
        ? answer(request.url ?? '')
        : Promise.resolve({ status: 405, type: 'text/plain', body: '' });
      answered
        .then(({ status, type, body }) => response.writeHead(status, { 'content-type': type }).end(body))
        .catch(() => response.writeHead(500).end());
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(fd === undefined ? { port, host } : { fd }, resolve);
    });
    return new OpsDoor(server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
