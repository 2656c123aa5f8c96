N/*M!999999\- enable the sandbox mode */ 
-- MariaDB dump 10.19  Distrib 10.11.6-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: shop
-- ------------------------------------------------------
-- Server version	10.11.6-MariaDB-log

/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */;
/*!40101 SET NAMES utf8mb4 COLLATE utf8mb4_uca1400_ai_ci */;
/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;
/*!40111 SET @OLD_SQL_NOTES=@@SQL_NOTES, SQL_NOTES=0 */;
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '3e11fa47-71ca-11e1-9e33-c80aa9429562:1-5';
CREATE DATABASE /*!32312 IF NOT EXISTS*/ `shop` /*!40100 DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci */;
USE `shop`;
DROP TABLE IF EXISTS `a``b`;
CREATE TABLE `a``b` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `t` text DEFAULT 'x;y' COMMENT 'it''s \'q\'',
  `u` uuid DEFAULT uuid(),
  `g` int(11) GENERATED ALWAYS AS (`id` * 2) PERSISTENT,
  `c` varchar(9) /*M!100301 COMPRESSED*/ COLLATE latin1_swedish_nopad_ci DEFAULT (concat('a',')')),
  PRIMARY KEY (`id`),
  KEY `k` (`c`(3)) IGNORED KEY_BLOCK_SIZE=4
) ENGINE=Aria AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4 PAGE_CHECKSUM=1 TRANSACTIONAL=1 ROW_FORMAT=PAGE DATA DIRECTORY='/x' COMMENT='DEFINER=`a`@`b`' WITH SYSTEM VERSIONING
 PARTITION BY HASH (`id`)
(PARTITION `p0` ENGINE = Aria);
LOCK TABLES `a``b` WRITE;
/*!40000 ALTER TABLE `a``b` DISABLE KEYS */;
INSERT INTO `a``b` VALUES (1,'a\\',_binary 'DEFINER=`x`@`y`; \0\'',0xFF,NULL),(-2,"b;--","c");
REPLACE INTO `shop`.`a``b` (`id`) VALUES (3) ; # tail
UNLOCK TABLES;
/*!40111 SET SQL_NOTES=@OLD_SQL_NOTES */;

-- Dump completed on 2026-11-20 12:00:00
