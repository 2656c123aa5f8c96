-- What databases have and samples seldom show, as far as MySQL and MariaDB agree on it.
SET NAMES utf8mb4;
SET SESSION sql_mode = 'ALLOW_INVALID_DATES,NO_ENGINE_SUBSTITUTION', time_zone = '+00:00';
CREATE TABLE numbers (
  a bigint unsigned NOT NULL, b bigint, c mediumint unsigned ZEROFILL, d int(7) unsigned ZEROFILL, e decimal(65,30), f decimal(65,0), g float, h double, i bit(64), j bit(1), k tinyint(1), l year,
  PRIMARY KEY (a), KEY many (e, f, g)) COMMENT='digits; \'quoted\' \\ "and" `more` 🐘';
INSERT INTO numbers VALUES
  (18446744073709551615, -9223372036854775808, 7, 42, -12345678901234567890123456789012345.123456789012345678901234567890, 99999999999999999999999999999999999999999999999999999999999999999, -3.402823e38, -1.7976931348623157e308, b'1111111111111111111111111111111111111111111111111111111111111111', b'1', -128, 2155),
  (0, 9223372036854775807, 16777215, 0, 0.000000000000000000000000000001, -0, 1.17549435e-38, 2.2250738585072014e-308, 0, NULL, 127, 0), (1, NULL, NULL, NULL, NULL, NULL, 0.1, 0.1, NULL, b'0', NULL, 1901);
CREATE TABLE moments (
  id int AUTO_INCREMENT PRIMARY KEY, d date, t time(6), dt datetime(6), ts timestamp(6) NULL DEFAULT NULL, auto timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP);
INSERT INTO moments (d, t, dt, ts, auto) VALUES
  ('0000-00-00', '-838:59:59.000000', '0000-00-00 00:00:00', '1970-01-01 00:00:01', '2038-01-19 03:14:07'), ('9999-12-31', '838:59:59.000000', '9999-12-31 23:59:59.999999', '2038-01-19 03:14:07.999999', '2001-01-01'),
  ('2021-02-31', '-00:00:00.000001', '1000-01-01 00:00:00', NULL, '2001-01-01'), ('2020-00-00', NULL, NULL, NULL, '2001-01-01');
CREATE TABLE words (
  id smallint unsigned PRIMARY KEY, e enum('','a''b','ñ','c,d'), s set('x','y''','z;'), c char(5), v varchar(300) CHARACTER SET utf8mb3 COLLATE utf8mb3_bin, l varchar(20) CHARACTER SET latin1, u varchar(10) CHARACTER SET ucs2,
  bi binary(4), vb varbinary(300), tb tinyblob, mb mediumblob, lt longtext COLLATE utf8mb4_bin, fixed varchar(9) NOT NULL DEFAULT 'it''s \\',
  KEY starts (v(7), lt(3) DESC), FULLTEXT KEY whole (lt), UNIQUE KEY nulls (l));
INSERT INTO words VALUES
  (1, '', 'x,z;', 'a', 'ñ', 'é', '水', 0x00000000, 0x005C27220A0D1A00FF, '', 0xFFFE, '\\\'"\n\r\0\Z%_;-- /* # 😀', DEFAULT), (2, 'a''b', '', '', '', NULL, NULL, NULL, NULL, NULL, NULL, '', ''), (3, 'c,d', 'x,y''', NULL, NULL, NULL, '', 0x20, 0x20, 0x2020, '', NULL, 'x');
CREATE TABLE places (id int PRIMARY KEY, g geometry NOT NULL, p point, SPATIAL KEY g (g));
INSERT INTO places VALUES (1, ST_GeomFromText('POLYGON((0 0,4 0,4 4,0 4,0 0),(1 1,2 1,2 2,1 1))'), NULL), (2, ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2),LINESTRING(0 0,1e10 -1e-10))'), ST_GeomFromText('POINT(1 2)'));
CREATE TABLE by_list (id int, region varchar(5) NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST COLUMNS (region) (PARTITION eu VALUES IN ('de', 'it''s'), PARTITION us VALUES IN ('us'));
INSERT INTO by_list VALUES (1, 'de'), (2, 'it''s'), (3, 'us');
CREATE TABLE by_hash (id int PRIMARY KEY, v int, KEY v (v)) PARTITION BY HASH (id) PARTITIONS 3; INSERT INTO by_hash VALUES (1, 1), (2, 2), (3, NULL);
CREATE TABLE by_key (id varchar(20) PRIMARY KEY) PARTITION BY LINEAR KEY (id) PARTITIONS 4; INSERT INTO by_key VALUES ('a'), ('b'), ('ñ');
CREATE TABLE divided (id int, day date NOT NULL, PRIMARY KEY (id, day)) PARTITION BY RANGE (to_days(day)) SUBPARTITION BY HASH (id) SUBPARTITIONS 2 (PARTITION early VALUES LESS THAN (737000), PARTITION rest VALUES LESS THAN MAXVALUE);
INSERT INTO divided VALUES (1, '2000-01-01'), (2, '2030-01-01');
CREATE TABLE hen (id int PRIMARY KEY, egg int); CREATE TABLE egg (id int PRIMARY KEY, hen int NOT NULL, parent int, CONSTRAINT laid FOREIGN KEY (hen) REFERENCES hen (id) ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT line FOREIGN KEY (parent) REFERENCES egg (id) ON DELETE SET NULL);
INSERT INTO hen VALUES (1, 2), (2, 1); INSERT INTO egg VALUES (1, 2, NULL), (2, 1, 1); ALTER TABLE hen ADD CONSTRAINT hatched FOREIGN KEY (egg) REFERENCES egg (id);
CREATE TABLE no_key (v varchar(10), w int); INSERT INTO no_key VALUES ('a', 1), ('a', 1), (NULL, NULL), (NULL, NULL);
CREATE TABLE counted (a int NOT NULL, n int NOT NULL AUTO_INCREMENT, PRIMARY KEY (a, n), KEY n (n)) AUTO_INCREMENT=1000; INSERT INTO counted VALUES (1, 5), (1, 0);
CREATE TABLE `select` (`from` int, `a``b` int, `ünï` int, ` lead` int, PRIMARY KEY (`from`), CONSTRAINT `check` CHECK (`a``b` > -5)); INSERT INTO `select` VALUES (1, 2, 3, 4);
CREATE VIEW counting AS WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT i FROM n;
CREATE ALGORITHM=TEMPTABLE VIEW grouped AS SELECT region, count(*) AS n FROM by_list GROUP BY region;
CREATE VIEW over_view AS SELECT g.n, c.i FROM grouped g JOIN counting c ON g.n = c.i;
CREATE VIEW windowed AS SELECT id, row_number() OVER (PARTITION BY region ORDER BY id) AS place FROM by_list;
DELIMITER //
CREATE TRIGGER first_one BEFORE INSERT ON no_key FOR EACH ROW SET NEW.w = NEW.w + 1//
CREATE TRIGGER second_one BEFORE INSERT ON no_key FOR EACH ROW FOLLOWS first_one SET NEW.w = NEW.w * 2//
CREATE FUNCTION wrapped(x varchar(10) CHARACTER SET latin1) RETURNS varchar(20) CHARACTER SET utf8mb4 DETERMINISTIC NO SQL COMMENT 'it''s' RETURN concat('; // ', x)//
CREATE PROCEDURE walks(IN a int, INOUT b decimal(10,2), OUT c text) READS SQL DATA SQL SECURITY INVOKER
BEGIN
  DECLARE done int DEFAULT 0; DECLARE v varchar(10); DECLARE each_row CURSOR FOR SELECT v FROM no_key; DECLARE CONTINUE HANDLER FOR NOT FOUND SET done = 1;
  walk: LOOP IF done THEN LEAVE walk; END IF; SET b = b + a /* ; */, done = 1; -- a comment; with a quote '
  END LOOP;
END//
CREATE EVENT sometimes ON SCHEDULE EVERY 1 DAY STARTS '2038-01-01 00:00:00' ON COMPLETION PRESERVE DISABLE COMMENT 'off' DO DELETE FROM no_key WHERE w > 100//
DELIMITER ;
