/** What a door of the registry listens on. */
import type { FastifyListenOptions } from 'fastify';

/** An address and a port, or a socket that listens already. */
export const listenOn = ({
  host,
  port,
  fd,
}: {
  host: string;
  port: number;
  fd?: number;
}): FastifyListenOptions =>
  // The framework hands its options to net.Server.listen, which knows `fd`; its own types do not.
  fd === undefined ? { host, port } : ({ host: '127.0.0.1', fd } as FastifyListenOptions);
