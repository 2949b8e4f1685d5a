/** Enrollments that wait for an operator: listed, approved, denied. */
import type { FastifyInstance } from 'fastify';
import type { Approvals, EnrollmentQuery } from '../authority/approvals.ts';
import { actorOf } from './door.ts';
import { enrollmentSchemas } from './schemas/enrollments.ts';

export const approvalRoutes = (approvals: Approvals) => (app: FastifyInstance) => {
  app.get(
    '/v1/enrollments',
    {
      config: { permission: 'read' },
      schema: { querystring: enrollmentSchemas.query, response: { 200: enrollmentSchemas.list } },
    },
    async (request) => approvals.list(request.query as EnrollmentQuery),
  );

  for (const verb of ['approve', 'deny'] as const) {
    app.post(
      `/v1/enrollments/:enrollment/${verb}`,
      {
        config: { permission: 'operate' },
        schema: {
          params: enrollmentSchemas.params,
          body: enrollmentSchemas.decision,
          response: { 200: enrollmentSchemas.view },
        },
      },
      async (request) => {
        const { enrollment } = request.params as { enrollment: string };
        const { reason = null } = (request.body ?? {}) as { reason?: string };
        return approvals[verb](enrollment, actorOf(request), reason);
      },
    );
  }
};
