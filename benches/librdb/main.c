/* The converters of librdb (Redis' own RDB library), driven as its command line tool drives them: librdb json|resp IN OUT. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "librdb-api.h"
#include "librdb-ext-api.h"

/* The crate leaves out librdb's own writer to files, so this stands for it: stdio with its usual buffer, one fwrite for each piece. */
static int write_all(void *out, struct iovec *pieces, int count, RdbxRespWriterStartCmd *start, int end) {
    (void)start, (void)end;
    for (int i = 0; i < count; i++)
        if (fwrite(pieces[i].iov_base, 1, pieces[i].iov_len, out) != pieces[i].iov_len) return 1;
    return 0;
}

static int flush(void *out) { return fflush(out) != 0; }

static void done(void *out) { fclose(out); }

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: librdb json|resp IN OUT\n");
        return 2;
    }
    RdbParser *parser = RDB_createParserRdb(NULL);
    RDB_setLogLevel(parser, RDB_LOG_ERR);
    if (!RDBX_createReaderFile(parser, argv[2])) return 3;
    if (strcmp(argv[1], "json") == 0) {
        RdbxToJsonConf conf = {.level = RDB_LEVEL_DATA, .encoding = RDBX_CONV_JSON_ENC_PLAIN, .includeDbInfo = 1};
        if (!RDBX_createHandlersToJson(parser, argv[3], &conf)) return 3;
    } else {
        /* Commands for each type; with RESTORE it would hand the values on as they are. */
        RdbxToRespConf conf = {0};
        RdbxToResp *resp = RDBX_createHandlersToResp(parser, &conf);
        FILE *out = fopen(argv[3], "wb");
        if (!resp || !out) return 3;
        RdbxRespWriter writer = {.ctx = out, .destroy = done, .writev = write_all, .flush = flush};
        RDBX_attachRespWriter(resp, &writer);
    }
    RdbStatus status;
    while ((status = RDB_parse(parser)) == RDB_STATUS_WAIT_MORE_DATA) continue;
    if (status != RDB_STATUS_OK) {
        fprintf(stderr, "%s\n", RDB_getErrorMessage(parser));
        return 3;
    }
    RDB_deleteParser(parser);
    return 0;
}
