NSET NAMES sjis;
INSERT INTO t VALUES ('ƒ\\'', '');
SET NAMES gbk COLLATE gbk_chinese_ci; INSERT t VALUES ('¿\\''); set character_set_client = utf8mb4;
SET SESSION sql_mode=REPLACE(CONCAT_WS(',',@@sql_mode,'ANSI'),'x','y'), GLOBAL max_connections=1, @a:=(SELECT 'x'), time_zone='Europe/Rome';
CREATE TABLESPACE ts ADD DATAFILE 'x';
ALTER TABLE t DISCARD TABLESPACE;
ALTER TABLE t ENGINE=MERGE UNION=(a,b) INSERT_METHOD=LAST, ROW_FORMAT=COMPRESSED ENCRYPTION='Y', ADD SYSTEM VERSIONING;
CREATE TABLE p (a int, PERIOD FOR SYSTEM_TIME (x,y), b json DEFAULT '{}', c blob DEFAULT x'00', d int DEFAULT nextval(`s`.`q`)) TYPE=InnoDB AS SELECT 1;
CREATE USER a@b; GRANT ALL ON *.* TO a@b; CHANGE MASTER TO MASTER_HOST='x';
CREATE SERVER s FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'h');
mysqldump: [Warning] Using a password on the command line interface can be insecure.
USE mysql
INSERT INTO user VALUES (1)
