/** Trust anchors of manufacturers: challenged, registered, shown, removed. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { AnchorMode } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { parseFleetId } from '#common/identity.ts';
import { type AnchorTerms, defaultTemplate, noRevocation } from '../authority/anchor-terms.ts';
import type { AnchorOrder, Anchors, AnchorView } from '../authority/anchors.ts';
import type { Challenges } from '../authority/possession.ts';
import { actorOf } from './door.ts';
import { isGranted } from './permissions.ts';
import { anchorSchemas } from './schemas/anchors.ts';

type Body = Static<typeof anchorSchemas.body>;

export const anchorRoutes = (anchors: Anchors, challenges: Challenges) => (app: FastifyInstance) => {
  app.post(
    '/v1/anchors/challenge',
    {
      config: { permission: 'operate' },
      schema: { body: anchorSchemas.challenge, response: { 201: anchorSchemas.challenged } },
    },
    async (request, reply) =>
      reply.code(201).send(challenges.open((request.body as Static<typeof anchorSchemas.challenge>).name)),
  );

  app.post(
    '/v1/anchors',
    {
      config: { permission: 'operate' },
      bodyLimit: 128 * 1024,
      schema: { body: anchorSchemas.body, response: { 201: anchorSchemas.details } },
    },
    async (request, reply) => {
      const order = orderOf(request.body as Body);
      // To trust a CA without a proof is to trust whoever says so: an administrator's word, no less.
      if (order.proof === 'waived' && !(request.caller && isGranted(request.caller.role, 'administer')))
        throw new Fault('forbidden', 'Only an administrator may waive the proof of possession.');
      return reply.code(201).send(detailsOf(await anchors.add(order, actorOf(request))));
    },
  );

  app.get(
    '/v1/anchors',
    { config: { permission: 'read' }, schema: { response: { 200: anchorSchemas.list } } },
    async () => ({ items: (await anchors.list()).map(viewOf) }),
  );

  app.get(
    '/v1/anchors/:anchor',
    {
      config: { permission: 'read' },
      schema: { params: anchorSchemas.params, response: { 200: anchorSchemas.details } },
    },
    async (request) => detailsOf(await anchors.show(nameOf(request.params))),
  );

  app.delete(
    '/v1/anchors/:anchor',
    {
      config: { permission: 'operate' },
      schema: {
        params: anchorSchemas.params,
        querystring: anchorSchemas.removal,
        response: { 200: anchorSchemas.removed },
      },
    },
    async (request) => {
      const name = nameOf(request.params);
      const { dryRun } = request.query as Static<typeof anchorSchemas.removal>;
      return dryRun ? anchors.preview(name) : anchors.remove(name, actorOf(request));
    },
  );
};

const nameOf = (params: unknown): string => (params as { anchor: string }).anchor;

function orderOf(body: Body): AnchorOrder {
  const { name, certificate, fleet, enrollment, mapping, template, revocation, intermediates = '' } = body;
  if ((body.proof === undefined) === (body.possession === undefined))
    throw new Fault(
      'anchor-possession',
      'Send a proof of possession of the key: see POST /v1/anchors/challenge.',
    );
  const terms = {
    mapping,
    template: { ...defaultTemplate, ...template },
    revocation: { ...noRevocation, ...revocation },
    intermediates,
  } as AnchorTerms;
  const mode = enrollment as AnchorMode;
  return { name, certificate, fleet: parseFleetId(fleet), mode, terms, proof: body.proof ?? 'waived' };
}

function viewOf({ terms, ...view }: AnchorView) {
  const { mapping, template, revocation } = terms;
  return { ...view, mapping, template, revocation };
}

const detailsOf = (view: AnchorView & { certificate: string }) => ({
  ...viewOf(view),
  intermediates: view.terms.intermediates,
  certificate: view.certificate,
});
