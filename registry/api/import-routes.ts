/** Devices in bulk: NDJSON in, NDJSON out, a line for a line and in the same order, however long the list is. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { Fault } from '#common/fault.ts';
import { parseDeviceId, parseFleetId } from '#common/identity.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { DeviceOrder, Registration } from '../authority/registration.ts';
import { actorOf } from './door.ts';
import { linesOf, type StreamLine } from './ndjson.ts';
import { faultOf } from './problems.ts';
import { importSchemas } from './schemas/devices.ts';

export interface ImportRoutesParts {
  registration: Registration;
  maxLineBytes: number;
  /** Longest CSR, bytes of DER. */
  maxCsrBytes: number;
}

type ImportResult = Static<typeof importSchemas.result>;

const mediaType = 'application/x-ndjson';
/** Lines that are worked on at once: they share commits. */
const inFlight = 64;

export const importRoutes = (parts: ImportRoutesParts) => (app: FastifyInstance) => {
  const { registration, maxLineBytes, maxCsrBytes } = parts;
  app.addContentTypeParser(mediaType, (_request, payload, done) => done(null, payload));

  const take = async (request: FastifyRequest, line: StreamLine): Promise<ImportResult> => {
    const { number } = line;
    let id: string | null = null;
    try {
      const asked = parse(line, maxLineBytes);
      id = idOf(asked);
      const order = orderOf(asked, maxCsrBytes);
      const { status, issued } = await registration.register(order, actorOf(request));
      if (!issued) return { line: number, id, status };
      const { fingerprint, notAfter, certificate, chain } = issued;
      return { line: number, id, status, fingerprint, notAfter, certificate, chain };
    } catch (thrown) {
      const { kind, message } = faultOf(thrown);
      return { line: number, id, status: 'refused', code: kind, detail: message };
    }
  };

  app.post(
    // Two colons are one: without, it would begin a parameter.
    '/v1/devices::import',
    {
      config: { permission: 'operate' },
      // Lines are judged one by one, as they come.
      validatorCompiler: () => () => true,
      schema: {
        description: 'One JSON object a line; read the results while you send.',
        body: { content: { [mediaType]: { schema: importSchemas.line } } },
        response: { 200: { content: { [mediaType]: { schema: importSchemas.result } } } },
      },
    },
    async (request, reply) => {
      const { body } = request;
      if (!(body instanceof Readable))
        throw new Fault('unsupported-media-type', `An import is ${mediaType}: one JSON object a line.`);
      const lines = linesOf(body, maxLineBytes);
      const results = inOrder(lines, (line) => take(request, line));
      return reply
        .type(mediaType)
        .send(Readable.from(asText(results), { objectMode: false, highWaterMark: 64 * 1024 }));
    },
  );
};

async function* asText(results: AsyncIterable<ImportResult>): AsyncGenerator<string> {
  for await (const result of results) yield `${JSON.stringify(result)}\n`;
}

/** Works on several at once and gives what came of them in order, each as soon as it is there. `work` does not fail. */
async function* inOrder<From, To>(
  from: AsyncGenerator<From>,
  work: (item: From) => Promise<To>,
): AsyncGenerator<To> {
  const begun: Promise<To>[] = [];
  let next: Promise<IteratorResult<From>> | undefined;
  let isOver = false;
  try {
    while (!isOver || begun.length > 0) {
      if (!isOver && begun.length < inFlight) next ??= from.next();
      const turn = await Promise.race([
        ...(next ? [next.then(() => 'item' as const)] : []),
        ...(begun[0] ? [begun[0].then(() => 'result' as const)] : []),
      ]);
      if (turn === 'result') {
        yield await begun.shift()!;
        continue;
      }
      const { done, value } = await next!;
      next = undefined;
      if (done) isOver = true;
      else begun.push(work(value));
    }
  } finally {
    await from.return(undefined);
  }
}

function parse({ text }: StreamLine, maxLineBytes: number): unknown {
  if (text === null)
    throw new Fault('too-large', `A line is UTF-8 and has at most ${maxLineBytes} bytes here.`);
  try {
    return JSON.parse(text);
  } catch {
    throw new Fault('malformed', 'The line is not JSON.');
  }
}

/** For the result of a line that is refused, too. */
const idOf = (asked: unknown): string | null => {
  const id = (asked as { id?: unknown } | null)?.id;
  return typeof id === 'string' ? id.slice(0, 64) : null;
};

const lineSchema = Compile(importSchemas.line);

/** Faults `malformed` for a line that does not fit the schema. */
function orderOf(asked: unknown, maxCsrBytes: number): DeviceOrder {
  if (!lineSchema.Check(asked)) {
    const errors = lineSchema
      .Errors(asked)
      .map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
    throw new Fault('malformed', `The line does not fit the schema: ${errors.join('; ')}.`);
  }
  const { id, fleet, role = null, attributes = {}, state = 'active', csr } = asked;
  const der = csr === undefined ? null : csrDer(csr);
  if (der && der.length > maxCsrBytes)
    throw new Fault('csr-too-large', `A CSR has at most ${maxCsrBytes} bytes of DER here.`);
  return {
    id: parseDeviceId(id),
    fleet: parseFleetId(fleet),
    role,
    attributes,
    state: state as DeviceOrder['state'],
    csr: der,
  };
}
